/** Layer drivers. A name as octets for the engine; the layout stands in native/src/dns_unit.hpp. */
import { writeAddress } from "../../codec/dns/address.ts";
import { encodeMessage } from "../../codec/dns/encode.ts";
import type { IpAddress } from "../../model/ip.ts";
import type { EngineName, EngineNode } from "./driver.ts";

const HEAD_BYTES = 16;
const NODE_BYTES = 20;
const SRV_BYTES = 4;
const KINDS = { namespace: 0, service: 1, alias: 2, left: 3 } as const;
const FLAG_ZONAL = 1;
const NODE_FLAG_LEFT = 1;
const NODE_FLAG_NO_REVERSE = 2;
const FIRST_OF_TARGET = 0x8000;
const MAX_NODES = 0x7fff;
const MAX_POOL = 0xffff;
/** Any two labels that no name has: `left` names that cannot be asked for stand under them. */
const PLAIN_LABEL = /^[!-[\]-~]{1,63}$/;

/**
 * Labels in wire form without the root, each octet a character.
 * @returns `undefined` for what can be no label (empty, too long, a dot, a backslash, no printable ASCII)
 */
export function encodeLabels(labels: readonly string[]): string | undefined {
  let wire = "";
  for (const label of labels) {
    if (!PLAIN_LABEL.test(label) || label.includes(".")) return undefined;
    wire += String.fromCharCode(label.length) + label;
  }
  return wire.length > 255 ? undefined : wire;
}

interface Placed {
  readonly node: EngineNode;
  readonly wire: string;
}

/** Used again for each record: the engine copies them, and a cluster has many. */
let room = Buffer.allocUnsafeSlow(16 * 1024);

function roomFor(bytes: number): Buffer {
  if (bytes > room.length) room = Buffer.allocUnsafeSlow(2 * bytes);
  return room.subarray(0, bytes);
}

/**
 * @returns octets that last until the next call, `undefined` when a label or a count does not fit
 */
export function encodeName(name: EngineName): Uint8Array | undefined {
  const key = encodeLabels(name.key);
  if (key === undefined || name.nodes.length > MAX_NODES) return undefined;
  const nodes: Placed[] = [];
  for (const node of name.nodes) {
    const wire = encodeLabels(node.labels);
    if (wire === undefined) return undefined;
    nodes.push({ node, wire });
  }
  if (nodes.length > 1) nodes.sort((a, b) => a.wire.length - b.wire.length || (a.wire < b.wire ? -1 : 1));
  const target = name.kind === "alias" ? wireName(name.target) : "";
  if (target === undefined) return undefined;
  const pools = new Pools(nodes);
  if (pools.v4.length > MAX_POOL || pools.v6.length > MAX_POOL || pools.srv.length > 2 * MAX_POOL)
    return undefined;
  const texts = key + target + nodes.map(({ wire }) => wire).join("");
  return write(name, { key, target, texts }, nodes, pools);
}

/** Addresses and SRV records of all nodes, one behind the other. */
class Pools {
  readonly v4: IpAddress[] = [];
  readonly v6: IpAddress[] = [];
  /** Port and target of each. */
  readonly srv: number[] = [];
  /** Of each node: first and count of IPv4, IPv6, SRV. */
  readonly ranges: number[][];

  constructor(nodes: readonly Placed[]) {
    const index = new Map(nodes.map(({ node }, i) => [node, i]));
    this.ranges = nodes.map(() => []);
    // Those with reverse names first, one behind the other: together they are what `all` means.
    for (const [i, { node }] of nodes.entries()) if (node.hasReverse) this.ranges[i] = this.#addresses(node);
    const all = [0, this.v4.length, 0, this.v6.length];
    for (const [i, { node }] of nodes.entries()) {
      if (!node.hasReverse) this.ranges[i] = node.addresses === "all" ? [...all] : this.#addresses(node);
      this.ranges[i]?.push(...this.#services(node, index));
    }
  }

  #addresses({ addresses }: EngineNode): number[] {
    const [v4, v6] = [this.v4.length, this.v6.length];
    if (addresses !== "all") for (const one of addresses) (one.includes(":") ? this.v6 : this.v4).push(one);
    return [v4, this.v4.length - v4, v6, this.v6.length - v6];
  }

  #services({ services }: EngineNode, index: ReadonlyMap<EngineNode, number>): number[] {
    const at = this.srv.length / 2;
    if (services === "left") return [at, 0];
    const seen = new Set<EngineNode>();
    for (const { port, target } of services.records) {
      this.srv.push(port, (index.get(target) ?? 0) | (seen.has(target) ? 0 : FIRST_OF_TARGET));
      seen.add(target);
    }
    return [at, this.srv.length / 2 - at];
  }
}

function write(
  name: EngineName,
  text: { readonly key: string; readonly target: string; readonly texts: string },
  nodes: readonly Placed[],
  { v4, v6, srv, ranges }: Pools,
): Uint8Array {
  const srvBytes = (srv.length / 2) * SRV_BYTES;
  const size = HEAD_BYTES + NODE_BYTES * nodes.length + srvBytes + 4 * v4.length + 16 * v6.length;
  const out = roomFor(size + text.texts.length);
  out[0] = name.view;
  out[1] = KINDS[name.kind];
  out[2] = name.isZonal ? FLAG_ZONAL : 0;
  out[3] = text.key.length;
  for (const [i, count] of [nodes.length, v4.length, v6.length, srv.length / 2].entries()) {
    out.writeUInt16LE(count, 4 + 2 * i);
  }
  out.writeUInt32LE(text.texts.length, 12);
  let at = HEAD_BYTES;
  let textAt = text.key.length + text.target.length;
  for (const [i, { node, wire }] of nodes.entries()) {
    out.writeUInt32LE(textAt, at);
    out[at + 4] = wire.length;
    out[at + 5] =
      (node.services === "left" ? NODE_FLAG_LEFT : 0) | (node.hasReverse ? 0 : NODE_FLAG_NO_REVERSE);
    out[at + 6] = node.services === "left" ? 0 : node.services.weight;
    out[at + 7] = 0;
    at += 8;
    for (const number of ranges[i] ?? []) at = out.writeUInt16LE(number, at);
    textAt += wire.length;
  }
  for (const number of srv) at = out.writeUInt16LE(number, at);
  for (const address of v4) at = writeAddress(address, out, at);
  for (const address of v6) at = writeAddress(address, out, at);
  out.write(text.texts, at, "latin1");
  return out;
}

const HEADER_BYTES = 12;
const QUESTION_TAIL_BYTES = 4;
/** With a length octet for each dot, and the root's. */
const MAX_PLAIN_NAME = 254;

/** A whole name with the root, each octet a character; escapes allowed. */
export function wireName(name: string): string | undefined {
  const labels = name === "." ? [] : name.slice(0, -1).split(".");
  const plain = name.length <= MAX_PLAIN_NAME && name.endsWith(".") ? encodeLabels(labels) : undefined;
  if (plain !== undefined) return `${plain}\0`;
  try {
    const questions = [{ name, type: 0, class: 0 }];
    const message = encodeMessage({ ...EMPTY_MESSAGE, questions });
    return message.toString("latin1", HEADER_BYTES, message.length - QUESTION_TAIL_BYTES);
  } catch {
    return undefined;
  }
}

const EMPTY_MESSAGE = {
  id: 0,
  isResponse: false,
  opcode: 0,
  authoritative: false,
  truncated: false,
  recursionDesired: false,
  recursionAvailable: false,
  authenticData: false,
  checkingDisabled: false,
  rcode: 0,
  answers: [],
  authorities: [],
  additionals: [],
} as const;
