/**
 * Layer codec. What the elements of a set with `counter` have counted, from the messages of a dump. Only keys and packets
 * are read. A hash set that is being resized may show an element twice or not at all: whoever adds counts up must bear that.
 */
import type { NftElementCounts } from "../../../model/nftables.ts";
import { NetlinkMalformed, readAttributes, viewOf } from "../reader.ts";

const ELEMENT_LIST = 3;
/** Of an element: NFTA_SET_ELEM_KEY and NFTA_SET_ELEM_EXPR. */
const KEY = 1;
const EXPRESSION = 7;
/** Of an expression and of a counter: NFTA_EXPR_DATA and NFTA_COUNTER_PACKETS. */
const DATA = 2;
const PACKETS = 2;
/** Length and type before a value. */
const HEADER_BYTES = 4;
const TYPE_MASK = 0x3fff;

export class ElementCountCollector {
  readonly #keyBytes: number;
  #keys: Uint8Array;
  #packets: Float64Array;
  #count = 0;

  constructor(keyBytes: number) {
    this.#keyBytes = keyBytes;
    this.#keys = new Uint8Array(64 * keyBytes);
    this.#packets = new Float64Array(64);
  }

  /** Takes the attributes of one NEWSETELEM message. @throws {NetlinkMalformed} */
  add(buffer: Uint8Array, start: number, end: number): void {
    for (const attribute of readAttributes(buffer, start, end)) {
      if (attribute.type !== ELEMENT_LIST) continue;
      const view = viewOf(buffer);
      let at = attribute.start;
      while (at + HEADER_BYTES <= attribute.end) {
        const size = view.getUint16(at, true);
        if (size < HEADER_BYTES || at + size > attribute.end)
          throw new NetlinkMalformed("set element beyond its list");
        this.#element(view, buffer, at + HEADER_BYTES, at + size);
        at += (size + 3) & ~3;
      }
    }
  }

  #element(view: DataView, buffer: Uint8Array, start: number, end: number): void {
    const key = find(view, start, end, KEY, HEADER_BYTES + this.#keyBytes);
    if (key < 0) throw new NetlinkMalformed("set element without a key");
    const index = this.#grow();
    const from = key + HEADER_BYTES;
    this.#keys.set(buffer.subarray(from, from + this.#keyBytes), index * this.#keyBytes);
    // The set was declared with a counter, so that an expression of its elements is one.
    const expression = find(view, start, end, EXPRESSION, HEADER_BYTES);
    const data = expression < 0 ? -1 : find(view, expression, endOf(view, expression), DATA, HEADER_BYTES);
    const packets = data < 0 ? -1 : find(view, data, endOf(view, data), PACKETS, 8);
    this.#packets[index] = packets < 0 ? 0 : Number(view.getBigUint64(packets));
  }

  #grow(): number {
    const index = this.#count++;
    if (index < this.#packets.length) return index;
    const keys = new Uint8Array(this.#keys.length * 2);
    keys.set(this.#keys);
    this.#keys = keys;
    const packets = new Float64Array(this.#packets.length * 2);
    packets.set(this.#packets);
    this.#packets = packets;
    return index;
  }

  counts(): NftElementCounts {
    return {
      keys: this.#keys.slice(0, this.#count * this.#keyBytes),
      packets: this.#packets.slice(0, this.#count),
    };
  }
}

/**
 * Where the value of the first attribute of this type begins; -1 when there is none of at least so many bytes. Allocates nothing:
 * this runs several times for every element.
 */
function find(view: DataView, start: number, end: number, type: number, leastBytes: number): number {
  let at = start;
  while (at + HEADER_BYTES <= end) {
    const size = view.getUint16(at, true);
    if (size < HEADER_BYTES || at + size > end)
      throw new NetlinkMalformed("attribute beyond its set element");
    if ((view.getUint16(at + 2, true) & TYPE_MASK) === type)
      return size < HEADER_BYTES + leastBytes ? -1 : at + HEADER_BYTES;
    at += (size + 3) & ~3;
  }
  return -1;
}

/** Where the attribute ends whose value begins there. */
function endOf(view: DataView, value: number): number {
  return value - HEADER_BYTES + view.getUint16(value - HEADER_BYTES, true);
}
