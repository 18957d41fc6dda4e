/**
 * Layer plan. An EndpointSlice packed into a few strings: 100,000 endpoints take 2 MB instead of 40. Pure.
 *
 * Record of an endpoint: address (4 or 16) . flags . weight (2) . node (3) . hints (3), all big-endian.
 * Node and hints are numbers of the {@link StringTable}; a hint list is the text `zone,zone|node,node`.
 */
import { Buffer } from "node:buffer";
import type { IpFamily } from "../../model/ip.ts";
import { ipFamily } from "../../model/ip.ts";
import type { Endpoint, EndpointPort, EndpointSlice, ObjectProblem } from "../../model/objects.ts";
import { keyOf } from "../../model/objects.ts";
import { addressBytes, PROTOCOL_NUMBERS, packIp } from "../packed.ts";
import type { StringTable } from "./string-table.ts";

const READY = 1;
const SERVING = 2;
const TERMINATING = 4;
/** Bytes of a record behind its address. */
const TAIL_BYTES = 9;

export interface SlicePort {
  readonly name: string;
  readonly protocol: number;
  readonly port: number;
}

export interface SliceRecord {
  readonly name: string;
  readonly family: IpFamily;
  readonly ports: readonly SlicePort[];
  /** Records one behind the other. */
  readonly endpoints: string;
}

/** One endpoint as it stands in a record. */
export interface EndpointFields {
  /** Packed address. */
  readonly address: string;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly weight: number;
  readonly node: number;
  readonly hints: number;
}

function hintText(endpoint: Endpoint): string {
  const zones = endpoint.hintZones ?? [];
  const nodes = endpoint.hintNodes ?? [];
  if (zones.length === 0 && nodes.length === 0) return "";
  return `${zones.join(",")}|${nodes.join(",")}`;
}

/** Where a slice is packed; a string that is put together piece by piece would keep all pieces alive. */
let scratch = Buffer.alloc(4096);

function packEndpoint(endpoint: Endpoint, at: number, family: IpFamily, names: StringTable): number {
  const [address] = endpoint.addresses;
  if (address === undefined) return at;
  const width = addressBytes(family);
  if (at + width + TAIL_BYTES > scratch.length)
    scratch = Buffer.concat([scratch, Buffer.alloc(scratch.length)]);
  const packed = packIp(address);
  for (let i = 0; i < width; i++) scratch[at + i] = packed.charCodeAt(i);
  const tail = at + width;
  scratch[tail] =
    (endpoint.ready ? READY : 0) |
    (endpoint.serving ? SERVING : 0) |
    (endpoint.terminating ? TERMINATING : 0);
  scratch.writeUInt16BE(endpoint.weight ?? 1, tail + 1);
  scratch.writeUIntBE(names.intern(endpoint.nodeName ?? ""), tail + 3, 3);
  scratch.writeUIntBE(names.intern(hintText(endpoint)), tail + 6, 3);
  return tail + TAIL_BYTES;
}

/** Lists of ports repeat from slice to slice: one array for all that are equal. */
export class PortLists {
  readonly #lists = new Map<string, readonly SlicePort[]>();

  intern(ports: readonly EndpointPort[]): readonly SlicePort[] {
    const usable = ports.filter((port) => port.port > 0);
    const text = usable.map((port) => `${port.name}/${port.protocol}/${port.port}`).join(",");
    const known = this.#lists.get(text);
    if (known !== undefined) return known;
    const list = usable.map((port) => ({
      name: port.name,
      protocol: PROTOCOL_NUMBERS[port.protocol],
      port: port.port,
    }));
    // A cluster in which every slice has ports of its own gains nothing from sharing.
    if (this.#lists.size < 10_000) this.#lists.set(text, list);
    return list;
  }
}

/**
 * Packs a slice. Endpoints without an address are skipped silently (facts row 7), those of the wrong family are
 * reported through `problems`.
 */
export function packSlice(
  slice: EndpointSlice,
  names: StringTable,
  portLists: PortLists,
  problems: ObjectProblem[],
): SliceRecord {
  const family: IpFamily = slice.addressType === "IPv4" ? "ip" : "ip6";
  let length = 0;
  slice.endpoints.forEach((endpoint, index) => {
    const address = endpoint.addresses[0];
    if (address === undefined) return;
    if (ipFamily(address) === family) {
      length = packEndpoint(endpoint, length, family, names);
      return;
    }
    problems.push({
      object: keyOf(slice),
      reason: "EndpointFamilyMismatch",
      field: `endpoints[${index}].addresses[0]`,
      message: `${address} is not of addressType ${slice.addressType}; this endpoint is left out`,
    });
  });
  const endpoints = scratch.toString("latin1", 0, length);
  return { name: slice.meta.name, family, ports: portLists.intern(slice.ports), endpoints };
}

/** True when both say the same, so that nothing needs to be planned. */
export function equalRecords(a: SliceRecord, b: SliceRecord): boolean {
  return (
    a.family === b.family &&
    a.endpoints === b.endpoints &&
    (a.ports === b.ports ||
      (a.ports.length === b.ports.length &&
        a.ports.every((port, i) => {
          const other = b.ports[i];
          return (
            other !== undefined &&
            port.name === other.name &&
            port.protocol === other.protocol &&
            port.port === other.port
          );
        })))
  );
}

export function endpointCount(record: SliceRecord): number {
  return record.endpoints.length / (addressBytes(record.family) + TAIL_BYTES);
}

/** Calls back for each endpoint of a record, in order. */
export function eachEndpoint(record: SliceRecord, visit: (fields: EndpointFields) => void): void {
  const width = addressBytes(record.family);
  const text = record.endpoints;
  for (let at = 0; at < text.length; at += width + TAIL_BYTES) {
    const tail = at + width;
    const flags = text.charCodeAt(tail);
    visit({
      address: text.slice(at, tail),
      ready: (flags & READY) !== 0,
      serving: (flags & SERVING) !== 0,
      terminating: (flags & TERMINATING) !== 0,
      weight: (text.charCodeAt(tail + 1) << 8) | text.charCodeAt(tail + 2),
      node: read24(text, tail + 3),
      hints: read24(text, tail + 6),
    });
  }
}

function read24(text: string, at: number): number {
  return (text.charCodeAt(at) << 16) | (text.charCodeAt(at + 1) << 8) | text.charCodeAt(at + 2);
}
