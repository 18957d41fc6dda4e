/** Layer codec. Body of an EndpointSlice in nodestream.proto: the hot path of a full synchronisation. Pure. */
import type { IpAddress } from "../../model/ip.ts";
import type { Endpoint, EndpointPort, EndpointSlice, ObjectMeta } from "../../model/objects.ts";
import { readAddressAt } from "./address.ts";
import { readPortNumber } from "./decode-service.ts";
import { CONDITIONS, protocolOf } from "./kinds.ts";
import { malformed, type WireReader } from "./wire.ts";

const NONE: readonly never[] = Object.freeze([]);

/** @returns `undefined` for an address type that this version does not know */
export function decodeEndpointSlice(
  reader: WireReader,
  meta: ObjectMeta,
  withTargets: boolean,
): EndpointSlice | undefined {
  let serviceName = "";
  let addressBytes = 0;
  let ports: EndpointPort[] | undefined;
  let endpoints: Endpoint[] | undefined;
  const names: string[] = [];
  while (reader.next()) {
    switch (reader.field) {
      case 1:
        serviceName = reader.text();
        break;
      case 2:
        addressBytes = reader.uint32();
        if (addressBytes !== 4 && addressBytes !== 16) return undefined;
        break;
      case 3: {
        const port = readPort(reader);
        ports ??= [];
        if (port !== undefined) ports.push(port);
        break;
      }
      case 4:
        names.push(reader.text());
        break;
      case 5:
        endpoints ??= [];
        endpoints.push(readEndpoint(reader, { addressBytes, names, namespace: meta.namespace, withTargets }));
        break;
      default:
        reader.skip();
    }
  }
  if (addressBytes === 0) return undefined;
  return {
    kind: "EndpointSlice",
    meta,
    serviceName,
    addressType: addressBytes === 4 ? "IPv4" : "IPv6",
    ports: ports ?? NONE,
    endpoints: endpoints ?? NONE,
  };
}

interface SliceContext {
  readonly addressBytes: number;
  readonly names: readonly string[];
  readonly namespace: string;
  readonly withTargets: boolean;
}

/** What few endpoints have; kept apart so that the others are one object of one shape, without spare room. */
type Rare = Pick<Endpoint, "hintZones" | "hintNodes" | "hostname" | "weight" | "targetPod">;
type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function readEndpoint(reader: WireReader, slice: SliceContext): Endpoint {
  const outer = reader.enter();
  let addresses: readonly IpAddress[] = NONE;
  let bits = 0;
  let nodeName: string | undefined;
  let zone: string | undefined;
  let rare: Mutable<Rare> | undefined;
  while (reader.next()) {
    switch (reader.field) {
      case 1:
        addresses = readAddresses(reader, slice.addressBytes);
        break;
      case 2:
        bits = reader.uint32();
        break;
      case 3:
        nodeName = nameAt(slice.names, reader.uint32());
        break;
      case 4:
        zone = nameAt(slice.names, reader.uint32());
        break;
      case 9:
        if (!slice.withTargets) {
          reader.skip();
          break;
        }
        rare ??= {};
        readRare(reader, slice, rare);
        break;
      default:
        rare ??= {};
        readRare(reader, slice, rare);
    }
  }
  reader.leave(outer);
  if (addresses.length === 0) malformed("endpoint without address");
  const ready = (bits & CONDITIONS.ready) !== 0;
  const serving = (bits & CONDITIONS.serving) !== 0;
  const terminating = (bits & CONDITIONS.terminating) !== 0;
  if (rare !== undefined)
    return {
      addresses,
      ready,
      serving,
      terminating,
      ...(nodeName === undefined ? {} : { nodeName }),
      ...(zone === undefined ? {} : { zone }),
      ...rare,
    };
  if (nodeName === undefined)
    return { addresses, ready, serving, terminating, ...(zone === undefined ? {} : { zone }) };
  if (zone === undefined) return { addresses, ready, serving, terminating, nodeName };
  return { addresses, ready, serving, terminating, nodeName, zone };
}

function readRare(reader: WireReader, slice: SliceContext, into: Mutable<Rare>): void {
  switch (reader.field) {
    case 5:
      into.hintZones = readNames(reader, slice.names);
      return;
    case 6:
      into.hintNodes = readNames(reader, slice.names);
      return;
    case 7:
      into.hostname = reader.text();
      return;
    case 8:
      into.weight = readWeight(reader);
      return;
    case 9: {
      const target = reader.text();
      into.targetPod = target.includes("/") ? target : `${slice.namespace}/${target}`;
      return;
    }
    default:
      reader.skip();
  }
}

function readAddresses(reader: WireReader, addressBytes: number): readonly IpAddress[] {
  const length = reader.length();
  const start = reader.offset;
  reader.offset += length;
  if (length === addressBytes) return [readAddressAt(reader.bytes, start, length)];
  if (addressBytes === 0 || length % addressBytes !== 0) malformed(`addresses of ${length} bytes`);
  const addresses: IpAddress[] = [];
  for (let at = start; at < start + length; at += addressBytes)
    addresses.push(readAddressAt(reader.bytes, at, addressBytes));
  return addresses;
}

function nameAt(names: readonly string[], position: number): string {
  return names[position - 1] ?? malformed(`name ${position} of ${names.length}`);
}

function readNames(reader: WireReader, names: readonly string[]): readonly string[] {
  const positions: number[] = [];
  reader.numbers(positions);
  return positions.map((position) => nameAt(names, position));
}

function readWeight(reader: WireReader): number {
  const plusOne = reader.uint32();
  return plusOne >= 1 && plusOne <= 257 ? plusOne - 1 : malformed(`weight ${plusOne - 1}`);
}

function readPort(reader: WireReader): EndpointPort | undefined {
  const outer = reader.enter();
  let name = "";
  let protocol = 0;
  let port = 0;
  let appProtocol = "";
  while (reader.next()) {
    if (reader.field === 1) name = reader.text();
    else if (reader.field === 2) protocol = reader.uint32();
    else if (reader.field === 3) port = readPortNumber(reader);
    else if (reader.field === 4) appProtocol = reader.text();
    else reader.skip();
  }
  reader.leave(outer);
  const protocolName = protocolOf(protocol);
  if (protocolName === undefined || port === 0) return undefined;
  const result = { name, protocol: protocolName, port };
  return appProtocol === "" ? result : { ...result, appProtocol };
}
