/** Layer control-plane. The protobuf wire format: tags, varints, lengths. Bounds are checked on every read. */
import { Buffer } from "node:buffer";

/** The bytes are no such message. */
export class ProtobufError extends Error {
  override readonly name = "ProtobufError";
}

export interface Tag {
  readonly number: number;
  /** 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes. */
  readonly wire: number;
}

export class WireReader {
  readonly #data: Uint8Array;
  #at = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  get done(): boolean {
    return this.#at >= this.#data.length;
  }

  /** The next tag, or `undefined` at the end. */
  tag(): Tag | undefined {
    if (this.done) return undefined;
    const value = Number(this.#varint());
    const tag = { number: Math.floor(value / 8), wire: value % 8 };
    if (tag.number < 1 || tag.number > 536_870_911) throw new ProtobufError(`illegal tag ${tag.number}`);
    return tag;
  }

  varint(tag: Tag): bigint {
    this.#expect(tag, 0);
    return this.#varint();
  }

  bytes(tag: Tag): Uint8Array {
    this.#expect(tag, 2);
    const length = Number(this.#varint());
    return this.#slice(length);
  }

  double(tag: Tag): number {
    this.#expect(tag, 1);
    const data = this.#slice(8);
    return new DataView(data.buffer, data.byteOffset, 8).getFloat64(0, true);
  }

  skip(tag: Tag): void {
    if (tag.wire === 0) this.#varint();
    else if (tag.wire === 1) this.#slice(8);
    else if (tag.wire === 2) this.bytes(tag);
    else if (tag.wire === 5) this.#slice(4);
    else throw new ProtobufError(`illegal wire type ${tag.wire}`);
  }

  #expect(tag: Tag, wire: number): void {
    if (tag.wire !== wire) throw new ProtobufError(`wrong wire type ${tag.wire} for field ${tag.number}`);
  }

  #slice(length: number): Uint8Array {
    if (length > this.#data.length - this.#at) throw new ProtobufError("unexpected end of data");
    const slice = this.#data.subarray(this.#at, this.#at + length);
    this.#at += length;
    return slice;
  }

  #varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#data[this.#at];
      if (byte === undefined) throw new ProtobufError("unexpected end of data");
      this.#at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw new ProtobufError("integer overflow");
  }
}

export class WireWriter {
  readonly #parts: Uint8Array[] = [];

  varint(number: number, value: bigint): void {
    this.#raw(BigInt(number * 8));
    this.#raw(BigInt.asUintN(64, value));
  }

  bytes(number: number, data: Uint8Array): void {
    this.#raw(BigInt(number * 8 + 2));
    this.#raw(BigInt(data.length));
    this.#parts.push(data);
  }

  double(number: number, value: number): void {
    this.#raw(BigInt(number * 8 + 1));
    const data = Buffer.alloc(8);
    data.writeDoubleLE(value);
    this.#parts.push(data);
  }

  finish(): Uint8Array {
    return Buffer.concat(this.#parts);
  }

  #raw(value: bigint): void {
    const out: number[] = [];
    let rest = value;
    while (rest >= 0x80n) {
      out.push(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    out.push(Number(rest));
    this.#parts.push(Uint8Array.from(out));
  }
}
