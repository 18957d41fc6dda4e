/**
 * Layer codec. Set elements between the packed form of the model and nf_tables attributes. One-field interval sets
 * keep a start element and an element behind the end; concatenated ones keep KEY and KEY_END.
 */
import type { NftElements, NftVerdict } from "../../../model/nftables.ts";
import { attributeNumber, attributeText, NetlinkMalformed, readAttributes } from "../reader.ts";
import type { NetlinkWriter } from "../writer.ts";
import { VERDICT } from "./constants.ts";
import { writeVerdict } from "./expressions.ts";
import type { ElementShape } from "./sets.ts";

/** A list attribute holds less than 64 KiB: stop adding elements here. */
const LIST_LIMIT = 64_000;
const INTERVAL_END = 1;

function wrapped(
  writer: NetlinkWriter,
  type: number,
  source: Uint8Array,
  offset: number,
  length: number,
): void {
  const nest = writer.beginNest(type);
  writer.rawSlice(1, source, offset, length);
  writer.endNest(nest);
}

/** `key + 1` in network order, or `undefined` when the key is all ones. */
function successor(keys: Uint8Array, offset: number, length: number): Uint8Array | undefined {
  const next = keys.slice(offset, offset + length);
  for (let i = length - 1; i >= 0; i--) {
    const value = ((next[i] ?? 0) + 1) & 0xff;
    next[i] = value;
    if (value !== 0) return next;
  }
  return undefined;
}

function writeElement(
  writer: NetlinkWriter,
  shape: ElementShape,
  elements: NftElements,
  index: number,
): void {
  const { keyBytes, dataBytes } = shape;
  const element = writer.beginNest(1);
  wrapped(writer, 1, elements.keys, index * keyBytes, keyBytes);
  if (shape.interval === "range") {
    wrapped(writer, 10, elements.keyEnds ?? elements.keys, index * keyBytes, keyBytes);
  }
  const verdict = elements.verdicts?.[index];
  if (verdict !== undefined) writeVerdict(writer, 2, verdict);
  else if (elements.data !== undefined) wrapped(writer, 2, elements.data, index * dataBytes, dataBytes);
  writer.endNest(element);
  if (shape.interval !== "pair") return;
  const next = successor(elements.keyEnds ?? elements.keys, index * keyBytes, keyBytes);
  if (next === undefined) return;
  const end = writer.beginNest(1);
  wrapped(writer, 1, next, 0, keyBytes);
  writer.u32(3, INTERVAL_END);
  writer.endNest(end);
}

/** @throws {RangeError} when the packed arrays are not as long as `count` and the shape demand */
export function checkElements(shape: ElementShape, elements: NftElements): void {
  const { count } = elements;
  const wantsData = shape.dataBytes > 0;
  if (
    elements.keys.length !== count * shape.keyBytes ||
    (elements.keyEnds !== undefined && elements.keyEnds.length !== elements.keys.length) ||
    (elements.data !== undefined && (!wantsData || elements.data.length !== count * shape.dataBytes)) ||
    (elements.verdicts !== undefined && (!shape.verdicts || elements.verdicts.length !== count))
  ) {
    throw new RangeError(`${count} elements do not fit the set's declaration`);
  }
}

/**
 * Writes the list attribute with as many elements from `from` on as fit one message.
 * @returns the index of the first element that did not fit, `count` when all did
 */
export function writeElements(
  writer: NetlinkWriter,
  shape: ElementShape,
  elements: NftElements,
  from: number,
): number {
  const list = writer.beginNest(3);
  let index = from;
  while (index < elements.count && writer.length - list < LIST_LIMIT) {
    writeElement(writer, shape, elements, index);
    index++;
  }
  writer.endNest(list);
  return index;
}

const VERDICT_KIND = new Map<number, NftVerdict["kind"]>(
  (Object.keys(VERDICT) as NftVerdict["kind"][]).map((kind) => [VERDICT[kind], kind]),
);

function readVerdict(buffer: Uint8Array, start: number, end: number): NftVerdict {
  let kind: NftVerdict["kind"] | undefined;
  let chain = "";
  for (const part of readAttributes(buffer, start, end)) {
    if (part.type === 1) kind = VERDICT_KIND.get(attributeNumber(buffer, part));
    if (part.type === 2) chain = attributeText(buffer, part);
  }
  if (kind === undefined) throw new NetlinkMalformed("unknown verdict");
  return kind === "jump" || kind === "goto" ? { kind, chain } : { kind };
}

/** Collects the elements of one set from the messages of a dump. */
export class ElementCollector {
  readonly #shape: ElementShape;
  #count = 0;
  #keys: Uint8Array;
  #ends: Uint8Array | undefined;
  #data: Uint8Array | undefined;
  readonly #verdicts: NftVerdict[] = [];
  /** Verdicts by code and chain, so that a map of many elements holds few objects. */
  readonly #seen = new Map<string, NftVerdict>();
  /** For pairs: keys behind the ends. */
  readonly #behind: Uint8Array[] = [];

  constructor(shape: ElementShape, expected: number) {
    const room = Math.max(16, expected);
    this.#shape = shape;
    this.#keys = new Uint8Array(room * shape.keyBytes);
    this.#ends = shape.interval === "range" ? new Uint8Array(room * shape.keyBytes) : undefined;
    this.#data = shape.dataBytes > 0 ? new Uint8Array(room * shape.dataBytes) : undefined;
  }

  /** Takes the attributes of one NEWSETELEM message. @throws {NetlinkMalformed} */
  add(buffer: Uint8Array, start: number, end: number): void {
    for (const attribute of readAttributes(buffer, start, end)) {
      if (attribute.type !== 3) continue;
      let at = attribute.start;
      while (at + 4 <= attribute.end) {
        const size = (buffer[at] ?? 0) | ((buffer[at + 1] ?? 0) << 8);
        if (size < 4 || at + size > attribute.end) throw new NetlinkMalformed("set element beyond its list");
        this.#element(buffer, at + 4, at + size);
        at += (size + 3) & ~3;
      }
    }
  }

  #element(buffer: Uint8Array, start: number, end: number): void {
    const { keyBytes, dataBytes } = this.#shape;
    let key = -1;
    let keyEnd = -1;
    let data = -1;
    let dataEnd = -1;
    let flags = 0;
    let at = start;
    while (at + 4 <= end) {
      const size = (buffer[at] ?? 0) | ((buffer[at + 1] ?? 0) << 8);
      const type = ((buffer[at + 2] ?? 0) | ((buffer[at + 3] ?? 0) << 8)) & 0x3fff;
      if (size < 4 || at + size > end) throw new NetlinkMalformed("attribute beyond its set element");
      // KEY, DATA and KEY_END hold one nested VALUE: its bytes begin 8 bytes further on.
      if (type === 1 && size >= 8 + keyBytes) key = at + 8;
      else if (type === 10 && size >= 8 + keyBytes) keyEnd = at + 8;
      else if (type === 2) {
        data = at + 4;
        dataEnd = at + size;
      } else if (type === 3) flags = buffer[at + 7] ?? 0;
      at += (size + 3) & ~3;
    }
    if (key < 0) throw new NetlinkMalformed("set element without a key");
    if ((flags & INTERVAL_END) !== 0) {
      this.#behind.push(buffer.slice(key, key + keyBytes));
      return;
    }
    const index = this.#grow();
    this.#keys.set(buffer.subarray(key, key + keyBytes), index * keyBytes);
    const endAt = keyEnd < 0 ? key : keyEnd;
    this.#ends?.set(buffer.subarray(endAt, endAt + keyBytes), index * keyBytes);
    if (this.#shape.verdicts) this.#verdict(buffer, data, dataEnd);
    else if (this.#data !== undefined) {
      if (data < 0 || dataEnd - data < 4 + dataBytes) throw new NetlinkMalformed("map element without data");
      this.#data.set(buffer.subarray(data + 4, data + 4 + dataBytes), index * dataBytes);
    }
  }

  #verdict(buffer: Uint8Array, start: number, end: number): void {
    const nest = start < 0 ? undefined : readAttributes(buffer, start, end).find((part) => part.type === 2);
    if (nest === undefined) throw new NetlinkMalformed("map element without a verdict");
    const verdict = readVerdict(buffer, nest.start, nest.end);
    const text =
      verdict.kind === "jump" || verdict.kind === "goto" ? `${verdict.kind} ${verdict.chain}` : verdict.kind;
    const known = this.#seen.get(text);
    if (known === undefined) this.#seen.set(text, verdict);
    this.#verdicts.push(known ?? verdict);
  }

  #grow(): number {
    const index = this.#count++;
    if ((index + 1) * this.#shape.keyBytes > this.#keys.length) {
      this.#keys = doubled(this.#keys);
      if (this.#ends !== undefined) this.#ends = doubled(this.#ends);
      if (this.#data !== undefined) this.#data = doubled(this.#data);
    }
    return index;
  }

  /**
   * True when a key was added twice. A hash table that is being resized moves elements between the pages of a dump, and
   * the kernel does not say so: for each element seen twice another one is missing.
   */
  hasDuplicates(): boolean {
    if (this.#shape.interval !== "none" || this.#count < 2) return false;
    const { keyBytes } = this.#shape;
    const keys = this.#keys;
    let room = 4;
    while (room < this.#count * 2) room *= 2;
    const table = new Int32Array(room);
    for (let index = 0; index < this.#count; index++) {
      const from = index * keyBytes;
      let hash = 0x811c9dc5;
      for (let i = from; i < from + keyBytes; i++) hash = Math.imul(hash ^ (keys[i] ?? 0), 0x01000193);
      hash ^= hash >>> 15;
      let at = hash & (room - 1);
      for (let other = table[at] ?? 0; other !== 0; other = table[at] ?? 0) {
        if (compare(keys, (other - 1) * keyBytes, keys, from, keyBytes) === 0) return true;
        at = (at + 1) & (room - 1);
      }
      table[at] = index + 1;
    }
    return false;
  }

  /** Everything added, in the kernel's order; pairs by ascending key. */
  elements(): NftElements {
    if (this.#shape.interval === "pair") return this.#paired();
    const { keyBytes, dataBytes } = this.#shape;
    const count = this.#count;
    return {
      count,
      keys: this.#keys.slice(0, count * keyBytes),
      ...(this.#ends === undefined ? {} : { keyEnds: this.#ends.slice(0, count * keyBytes) }),
      ...(this.#data === undefined ? {} : { data: this.#data.slice(0, count * dataBytes) }),
      ...(this.#shape.verdicts ? { verdicts: this.#verdicts } : {}),
    };
  }

  #paired(): NftElements {
    const { keyBytes, dataBytes } = this.#shape;
    const count = this.#count;
    const starts = Array.from({ length: count }, (_, index) => index).sort((a, b) =>
      compare(this.#keys, a * keyBytes, this.#keys, b * keyBytes, keyBytes),
    );
    const behind = this.#behind.toSorted((a, b) => compare(a, 0, b, 0, keyBytes));
    const keys = new Uint8Array(count * keyBytes);
    const keyEnds = new Uint8Array(count * keyBytes).fill(0xff);
    const data = this.#data === undefined ? undefined : new Uint8Array(count * dataBytes);
    let next = 0;
    starts.forEach((from, to) => {
      keys.set(this.#keys.subarray(from * keyBytes, (from + 1) * keyBytes), to * keyBytes);
      data?.set((this.#data ?? keys).subarray(from * dataBytes, (from + 1) * dataBytes), to * dataBytes);
      let candidate = behind[next];
      while (candidate !== undefined && compare(candidate, 0, keys, to * keyBytes, keyBytes) <= 0) {
        candidate = behind[++next];
      }
      if (candidate !== undefined) keyEnds.set(predecessor(candidate), to * keyBytes);
    });
    const verdicts = starts.flatMap((from) => this.#verdicts[from] ?? []);
    return {
      count,
      keys,
      keyEnds,
      ...(data === undefined ? {} : { data }),
      ...(this.#shape.verdicts ? { verdicts } : {}),
    };
  }
}

function doubled(bytes: Uint8Array): Uint8Array {
  const grown = new Uint8Array(bytes.length * 2);
  grown.set(bytes);
  return grown;
}

function compare(a: Uint8Array, aFrom: number, b: Uint8Array, bFrom: number, length: number): number {
  for (let i = 0; i < length; i++) {
    const difference = (a[aFrom + i] ?? 0) - (b[bFrom + i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function predecessor(key: Uint8Array): Uint8Array {
  const previous = key.slice();
  for (let i = previous.length - 1; i >= 0; i--) {
    const value = previous[i] ?? 0;
    previous[i] = (value - 1) & 0xff;
    if (value !== 0) break;
  }
  return previous;
}
