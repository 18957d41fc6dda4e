/** Layer codec. A trimmed object to the bytes of nodestream.proto's Object. Pure. */
import type { Endpoint, EndpointSlice, FeedObject, ObjectMeta, Pod, Service } from "../../model/objects.ts";
import { writeAddress, writeAddresses, writeRange } from "./address.ts";
import {
  CONDITIONS,
  OBJECT_FIELDS,
  POD_PHASES,
  PROTOCOL_NUMBERS,
  SERVICE_FLAGS,
  SERVICE_TYPES,
} from "./kinds.ts";
import type { WireWriter } from "./wire.ts";

/** Writes `object` as the message field `field`. */
export function writeObject(writer: WireWriter, field: number, object: FeedObject): void {
  const start = writer.begin(field);
  writeMeta(writer, object.meta);
  const body = writer.begin(OBJECT_FIELDS[object.kind]);
  switch (object.kind) {
    case "Service":
      writeService(writer, object);
      break;
    case "EndpointSlice":
      writeEndpointSlice(writer, object);
      break;
    case "Namespace":
      break;
    case "Node":
      for (const address of object.internalIPs) writeAddress(writer, 1, address);
      for (const range of object.podCIDRs) writeRange(writer, 2, range);
      writer.text(3, object.zone ?? "");
      for (const key of object.taintKeys) writer.item(4, key);
      break;
    case "ServiceCIDR":
      for (const range of object.cidrs) writeRange(writer, 1, range);
      break;
    case "Pod":
      writePod(writer, object);
      break;
  }
  writer.end(body);
  writer.end(start);
}

function writeMeta(writer: WireWriter, meta: ObjectMeta): void {
  const start = writer.begin(1);
  writer.text(1, meta.namespace);
  writer.text(2, meta.name);
  writer.text(3, meta.uid);
  writer.number(4, meta.creationTimestampMs);
  writer.number(5, meta.deletionTimestampMs ?? 0);
  writePairs(writer, 6, meta.labels);
  writePairs(writer, 7, meta.annotations);
  writer.end(start);
}

/** Sorted by key, so that equal objects have equal bytes. */
function writePairs(writer: WireWriter, field: number, pairs: Readonly<Record<string, string>>): void {
  for (const key of Object.keys(pairs).sort()) {
    writer.item(field, key);
    writer.item(field, pairs[key] ?? "");
  }
}

function writeService(writer: WireWriter, service: Service): void {
  writer.number(1, SERVICE_TYPES.indexOf(service.type));
  writer.number(2, serviceFlags(service));
  for (const address of service.clusterIPs) writeAddress(writer, 3, address);
  for (const address of service.externalIPs) writeAddress(writer, 4, address);
  for (const ingress of service.loadBalancerIngress) {
    const start = writer.begin(5);
    if (ingress.ip !== undefined) writeAddress(writer, 1, ingress.ip);
    writer.text(2, ingress.hostname ?? "");
    writer.bool(3, ingress.ipMode === "Proxy");
    writer.end(start);
  }
  for (const range of service.loadBalancerSourceRanges) writeRange(writer, 6, range);
  for (const port of service.ports) {
    const start = writer.begin(7);
    writer.text(1, port.name);
    writer.number(2, PROTOCOL_NUMBERS[port.protocol]);
    writer.number(3, port.port);
    writer.number(4, port.nodePort);
    writer.end(start);
  }
  writer.number(8, service.healthCheckNodePort);
  writer.number(9, service.affinityTimeoutSeconds);
  writer.text(10, service.externalName ?? "");
}

function serviceFlags(service: Service): number {
  return (
    (service.headless ? SERVICE_FLAGS.headless : 0) |
    (service.internalTrafficPolicy === "Local" ? SERVICE_FLAGS.internalLocal : 0) |
    (service.externalTrafficPolicy === "Local" ? SERVICE_FLAGS.externalLocal : 0) |
    (service.sessionAffinity === "ClientIP" ? SERVICE_FLAGS.clientIpAffinity : 0) |
    (service.publishNotReadyAddresses ? SERVICE_FLAGS.publishNotReady : 0)
  );
}

function writeEndpointSlice(writer: WireWriter, slice: EndpointSlice): void {
  writer.text(1, slice.serviceName);
  writer.number(2, slice.addressType === "IPv4" ? 4 : 16);
  for (const port of slice.ports) {
    const start = writer.begin(3);
    writer.text(1, port.name);
    writer.number(2, PROTOCOL_NUMBERS[port.protocol]);
    writer.number(3, port.port);
    writer.text(4, port.appProtocol ?? "");
    writer.end(start);
  }
  const names = new Map<string, number>();
  for (const endpoint of slice.endpoints)
    for (const name of namesOf(endpoint)) {
      if (names.has(name)) continue;
      names.set(name, names.size + 1);
      writer.item(4, name);
    }
  const position = (name: string | undefined) => (name === undefined ? 0 : (names.get(name) ?? 0));
  for (const endpoint of slice.endpoints) writeEndpoint(writer, endpoint, slice.meta.namespace, position);
}

function namesOf(endpoint: Endpoint): readonly string[] {
  const own = [endpoint.nodeName, endpoint.zone].filter((name) => name !== undefined);
  return [...own, ...(endpoint.hintZones ?? []), ...(endpoint.hintNodes ?? [])];
}

function writeEndpoint(
  writer: WireWriter,
  endpoint: Endpoint,
  namespace: string,
  position: (name: string | undefined) => number,
): void {
  const start = writer.begin(5);
  writeAddresses(writer, 1, endpoint.addresses);
  writer.number(
    2,
    (endpoint.ready ? CONDITIONS.ready : 0) |
      (endpoint.serving ? CONDITIONS.serving : 0) |
      (endpoint.terminating ? CONDITIONS.terminating : 0),
  );
  writer.number(3, position(endpoint.nodeName));
  writer.number(4, position(endpoint.zone));
  writer.numbers(5, (endpoint.hintZones ?? []).map(position));
  writer.numbers(6, (endpoint.hintNodes ?? []).map(position));
  writer.text(7, endpoint.hostname ?? "");
  writer.number(8, endpoint.weight === undefined ? 0 : endpoint.weight + 1);
  const target = endpoint.targetPod ?? "";
  writer.text(9, target.startsWith(`${namespace}/`) ? target.slice(namespace.length + 1) : target);
  writer.end(start);
}

function writePod(writer: WireWriter, pod: Pod): void {
  for (const address of pod.podIPs) writeAddress(writer, 1, address);
  writer.text(2, pod.nodeName ?? "");
  writer.text(3, pod.hostname ?? "");
  writer.text(4, pod.subdomain ?? "");
  writer.number(5, POD_PHASES.indexOf(pod.phase));
  writer.bool(6, pod.hostNetwork);
}
