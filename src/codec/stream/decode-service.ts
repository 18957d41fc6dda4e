/** Layer codec. Body of a Service in nodestream.proto. Pure. */
import type { Cidr, IpAddress } from "../../model/ip.ts";
import type { LoadBalancerIngress, ObjectMeta, Service, ServicePort } from "../../model/objects.ts";
import { readAddress, readRange } from "./address.ts";
import { protocolOf, SERVICE_FLAGS, SERVICE_TYPES } from "./kinds.ts";
import { malformed, type WireReader } from "./wire.ts";

const NONE: readonly never[] = Object.freeze([]);

/** @returns `undefined` for a type that this version does not know */
export function decodeService(reader: WireReader, meta: ObjectMeta): Service | undefined {
  let type = 0;
  let flags = 0;
  let clusterIPs: IpAddress[] | undefined;
  let externalIPs: IpAddress[] | undefined;
  let ingress: LoadBalancerIngress[] | undefined;
  let ranges: Cidr[] | undefined;
  let ports: ServicePort[] | undefined;
  let healthCheckNodePort = 0;
  let affinityTimeoutSeconds = 0;
  let externalName = "";
  while (reader.next()) {
    switch (reader.field) {
      case 1:
        type = reader.uint32();
        break;
      case 2:
        flags = reader.uint32();
        break;
      case 3:
        clusterIPs ??= [];
        clusterIPs.push(readAddress(reader));
        break;
      case 4:
        externalIPs ??= [];
        externalIPs.push(readAddress(reader));
        break;
      case 5:
        ingress ??= [];
        ingress.push(readIngress(reader));
        break;
      case 6:
        ranges ??= [];
        ranges.push(readRange(reader));
        break;
      case 7: {
        const port = readServicePort(reader);
        ports ??= [];
        if (port !== undefined) ports.push(port);
        break;
      }
      case 8:
        healthCheckNodePort = readPortNumber(reader);
        break;
      case 9:
        affinityTimeoutSeconds = reader.uint32();
        break;
      case 10:
        externalName = reader.text();
        break;
      default:
        reader.skip();
    }
  }
  const typeName = SERVICE_TYPES[type];
  if (typeName === undefined) return undefined;
  const service = {
    kind: "Service" as const,
    meta,
    type: typeName,
    headless: (flags & SERVICE_FLAGS.headless) !== 0,
    clusterIPs: clusterIPs ?? NONE,
    externalIPs: externalIPs ?? NONE,
    loadBalancerIngress: ingress ?? NONE,
    loadBalancerSourceRanges: ranges ?? NONE,
    ports: ports ?? NONE,
    internalTrafficPolicy:
      (flags & SERVICE_FLAGS.internalLocal) === 0 ? ("Cluster" as const) : ("Local" as const),
    externalTrafficPolicy:
      (flags & SERVICE_FLAGS.externalLocal) === 0 ? ("Cluster" as const) : ("Local" as const),
    healthCheckNodePort,
    sessionAffinity:
      (flags & SERVICE_FLAGS.clientIpAffinity) === 0 ? ("None" as const) : ("ClientIP" as const),
    affinityTimeoutSeconds,
    publishNotReadyAddresses: (flags & SERVICE_FLAGS.publishNotReady) !== 0,
  };
  return externalName === "" ? service : { ...service, externalName };
}

/** A number from 0 to 65535. */
export function readPortNumber(reader: WireReader): number {
  const port = reader.uint32();
  return port <= 65_535 ? port : malformed(`port ${port}`);
}

function readServicePort(reader: WireReader): ServicePort | undefined {
  const outer = reader.enter();
  let name = "";
  let protocol = 0;
  let port = 0;
  let nodePort = 0;
  while (reader.next()) {
    if (reader.field === 1) name = reader.text();
    else if (reader.field === 2) protocol = reader.uint32();
    else if (reader.field === 3) port = readPortNumber(reader);
    else if (reader.field === 4) nodePort = readPortNumber(reader);
    else reader.skip();
  }
  reader.leave(outer);
  const protocolName = protocolOf(protocol);
  return protocolName === undefined || port === 0
    ? undefined
    : { name, protocol: protocolName, port, nodePort };
}

function readIngress(reader: WireReader): LoadBalancerIngress {
  const outer = reader.enter();
  let ip: IpAddress | undefined;
  let hostname = "";
  let isProxy = false;
  while (reader.next()) {
    if (reader.field === 1) ip = readAddress(reader);
    else if (reader.field === 2) hostname = reader.text();
    else if (reader.field === 3) isProxy = reader.bool();
    else reader.skip();
  }
  reader.leave(outer);
  return {
    ipMode: isProxy ? "Proxy" : "VIP",
    ...(ip === undefined ? {} : { ip }),
    ...(hostname === "" ? {} : { hostname }),
  };
}
