/**
 * Layer plan. An EndpointSlice packed into a few strings: 100,000 endpoints take 2 MB instead of 40. Pure.
 *
 * Record of an endpoint: address (4 or 16) . flags . weight (2) . node (3) . hints (3), all big-endian.
 * Node and hints are numbers of the {@link StringTable}; a hint list is the text `zone,zone|node,node`.
 */
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

function pack24(number: number): string {
  return String.fromCharCode((number >> 16) & 255, (number >> 8) & 255, number & 255);
}

function hintText(endpoint: Endpoint): string {
  const zones = endpoint.hintZones ?? [];
  const nodes = endpoint.hintNodes ?? [];
  if (zones.length === 0 && nodes.length === 0) return "";
  return `${zones.join(",")}|${nodes.join(",")}`;
}

function packEndpoint(endpoint: Endpoint, address: string, names: StringTable): string {
  const flags =
    (endpoint.ready ? READY : 0) |
    (endpoint.serving ? SERVING : 0) |
    (endpoint.terminating ? TERMINATING : 0);
  const weight = endpoint.weight ?? 1;
  const node = names.intern(endpoint.nodeName ?? "");
  const hints = names.intern(hintText(endpoint));
  return (
    address + String.fromCharCode(flags, (weight >> 8) & 255, weight & 255) + pack24(node) + pack24(hints)
  );
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
  let endpoints = "";
  slice.endpoints.forEach((endpoint, index) => {
    const address = endpoint.addresses[0];
    if (address === undefined) return;
    if (ipFamily(address) === family) {
      endpoints += packEndpoint(endpoint, packIp(address), names);
      return;
    }
    problems.push({
      object: keyOf(slice),
      reason: "EndpointFamilyMismatch",
      field: `endpoints[${index}].addresses[0]`,
      message: `${address} is not of addressType ${slice.addressType}; this endpoint is left out`,
    });
  });
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
    const byte = (offset: number) => text.charCodeAt(tail + offset);
    const flags = byte(0);
    visit({
      address: text.slice(at, tail),
      ready: (flags & READY) !== 0,
      serving: (flags & SERVING) !== 0,
      terminating: (flags & TERMINATING) !== 0,
      weight: byte(1) * 256 + byte(2),
      node: byte(3) * 65_536 + byte(4) * 256 + byte(5),
      hints: byte(6) * 65_536 + byte(7) * 256 + byte(8),
    });
  }
}
