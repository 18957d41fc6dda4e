/**
 * Layer codec. Protobuf wire format: a bounds-checked reader and a growing writer. Pure. Knows no messages.
 * Source: protobuf.dev/programming-guides/encoding. Lengths are checked before anything is allocated.
 */
import { Buffer } from "node:buffer";
import { NodeplaneError } from "../../model/errors.ts";

/** Wire types that occur; 3 and 4 (groups) are refused. */
export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const FIXED32 = 5;

/** @throws always: bytes that are not what they should be */
export function malformed(detail: string): never {
  throw new NodeplaneError("STREAM_MALFORMED", { detail });
}

/** Slots of the string cache; a power of two. Direct mapped: a later string takes the place of an earlier one. */
const CACHE_SLOTS = 4096;
const CACHED_LENGTH = 64;
const cache: string[] = new Array<string>(CACHE_SLOTS).fill("");

/** Text of bytes, the same string for the same bytes where possible: names repeat a lot, and memory counts. */
function readText(bytes: Buffer, start: number, end: number): string {
  const length = end - start;
  if (length === 0) return "";
  if (length > CACHED_LENGTH) return bytes.toString("utf8", start, end);
  let hash = length;
  for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + (bytes[at] ?? 0)) | 0;
  const slot = (hash ^ (hash >>> 15)) & (CACHE_SLOTS - 1);
  const known = cache[slot] ?? "";
  if (known.length === length && sameAscii(known, bytes, start)) return known;
  const text = bytes.toString("utf8", start, end);
  cache[slot] = text;
  return text;
}

function sameAscii(text: string, bytes: Buffer, start: number): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code > 127 || code !== bytes[start + at]) return false;
  }
  return true;
}

/** Reads one message, or a message inside it after {@link enter}. */
export class WireReader {
  readonly bytes: Buffer;
  offset: number;
  end: number;
  /** Of the tag read last. */
  field = 0;
  wireType = 0;

  constructor(bytes: Uint8Array, offset = 0, end = bytes.length) {
    this.bytes = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (offset > end || end > bytes.length) malformed("range outside of the message");
    this.offset = offset;
    this.end = end;
  }

  /** Reads a tag into `field` and `wireType`; false at the end of the message. */
  next(): boolean {
    if (this.offset >= this.end) return false;
    const tag = this.#varint32();
    this.field = tag >>> 3;
    this.wireType = tag & 7;
    if (this.field === 0) malformed("field number 0");
    return true;
  }

  /** A number field of at most 53 bits. */
  number(): number {
    this.#isVarint();
    const first = this.bytes[this.offset] ?? 0;
    if (first < 128 && this.offset < this.end) {
      this.offset++;
      return first;
    }
    const value = this.#varint64();
    if (value > 9_007_199_254_740_991n) malformed("number above 2^53");
    return Number(value);
  }

  /** A number field; bits above 32 are cut off, as protobuf has it for 32-bit fields. */
  uint32(): number {
    this.#isVarint();
    return this.#varint32();
  }

  bool(): boolean {
    this.#isVarint();
    return this.#varint64() !== 0n;
  }

  #isVarint(): void {
    if (this.wireType !== VARINT) malformed(`field ${this.field} has wire type ${this.wireType}`);
  }

  #varint32(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.offset >= this.end) malformed("number runs over the end");
      const byte = this.bytes[this.offset++] ?? 0;
      if (shift < 32) value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
    return malformed("number of more than ten bytes");
  }

  #varint64(): bigint {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.offset >= this.end) malformed("number runs over the end");
      const byte = this.bytes[this.offset++] ?? 0;
      const bits = byte & 127;
      if (shift < 28) low |= bits << shift;
      else if (shift === 28) {
        low |= (bits & 15) << 28;
        high |= bits >>> 4;
      } else if (shift < 63) high |= bits << (shift - 32);
      else high |= (bits & 1) << 31;
      if (byte < 128) return high === 0 ? BigInt(low >>> 0) : (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    }
    return malformed("number of more than ten bytes");
  }

  /** Length of a length-delimited field that fits in what is left. */
  length(): number {
    if (this.wireType !== BYTES) malformed(`field ${this.field} has wire type ${this.wireType}`);
    const length = this.#varint32();
    if (length > this.end - this.offset) malformed(`field ${this.field} runs over the end`);
    return length;
  }

  text(): string {
    const length = this.length();
    const start = this.offset;
    this.offset = start + length;
    return readText(this.bytes, start, this.offset);
  }

  /** A view of the bytes, no copy. */
  view(): Buffer {
    const length = this.length();
    const start = this.offset;
    this.offset = start + length;
    return this.bytes.subarray(start, this.offset);
  }

  /** Goes into an embedded message. @returns the end of the outer one, for {@link leave} */
  enter(): number {
    const outer = this.end;
    const length = this.length();
    this.end = this.offset + length;
    return outer;
  }

  leave(outer: number): void {
    this.offset = this.end;
    this.end = outer;
  }

  /** Numbers of a repeated field, packed or not, appended to `into`. */
  numbers(into: number[]): void {
    if (this.wireType === VARINT) {
      into.push(this.#varint32());
      return;
    }
    const outer = this.enter();
    while (this.offset < this.end) into.push(this.#varint32());
    this.leave(outer);
  }

  /** Moves behind a field that is not known. */
  skip(): void {
    switch (this.wireType) {
      case VARINT:
        this.#varint64();
        return;
      case FIXED64:
        this.offset += 8;
        break;
      case BYTES:
        this.view();
        return;
      case FIXED32:
        this.offset += 4;
        break;
      default:
        malformed(`wire type ${this.wireType}`);
    }
    if (this.offset > this.end) malformed(`field ${this.field} runs over the end`);
  }
}

/** Writes messages into one growing buffer. Fields that hold their default are left out, as proto3 has it. */
export class WireWriter {
  #bytes: Buffer;
  #at = 0;

  constructor(initialBytes = 1024) {
    this.#bytes = Buffer.allocUnsafe(initialBytes);
  }

  get length(): number {
    return this.#at;
  }

  reset(): void {
    this.#at = 0;
  }

  /** A copy of what was written. */
  finish(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#at));
  }

  text(field: number, value: string): void {
    if (value === "") return;
    const size = Buffer.byteLength(value);
    this.#tag(field, BYTES);
    this.#varint(size);
    this.#reserve(size);
    this.#bytes.write(value, this.#at, "utf8");
    this.#at += size;
  }

  /** Written even when it is empty: for repeated fields. */
  item(field: number, value: string): void {
    if (value !== "") this.text(field, value);
    else {
      this.#tag(field, BYTES);
      this.#varint(0);
    }
  }

  raw(field: number, value: Uint8Array): void {
    this.#tag(field, BYTES);
    this.#varint(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  /** A whole number from 0 to 2^53. */
  number(field: number, value: number): void {
    if (value === 0) return;
    this.#tag(field, VARINT);
    this.#varint(value);
  }

  bool(field: number, value: boolean): void {
    if (value) this.number(field, 1);
  }

  numbers(field: number, values: readonly number[]): void {
    if (values.length === 0) return;
    const start = this.begin(field);
    for (const value of values) this.#varint(value);
    this.end(start);
  }

  /** Starts an embedded message. @returns where, for {@link end} */
  begin(field: number): number {
    this.#tag(field, BYTES);
    this.#reserve(1);
    return ++this.#at;
  }

  /** Ends an embedded message: its length goes before it, which moves it when the length needs more than one byte. */
  end(start: number): void {
    const length = this.#at - start;
    let extra = 0;
    for (let rest = length; rest > 127; rest = Math.floor(rest / 128)) extra++;
    if (extra > 0) {
      this.#reserve(extra);
      this.#bytes.copyWithin(start + extra, start, this.#at);
    }
    this.#at = start - 1;
    this.#varint(length);
    this.#at += length;
  }

  #tag(field: number, wireType: number): void {
    this.#varint(field * 8 + wireType);
  }

  #varint(value: number): void {
    this.#reserve(10);
    let rest = value;
    while (rest > 127) {
      this.#bytes[this.#at++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#at++] = rest;
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#at + bytes));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}
