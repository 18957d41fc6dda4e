/**
 * Layer codec. Writes netlink messages one behind the other into one reusable buffer that grows. Attribute values
 * of nf_tables are big-endian, headers are in host order (little-endian on every machine that nodeplane supports).
 */

/** Bytes of `nlmsghdr`. */
export const HEADER_BYTES = 16;
const encoder = new TextEncoder();

/** An attribute or a message that does not fit its length field. */
export class NetlinkTooLarge extends RangeError {
  override readonly name = "NetlinkTooLarge";
}

export class NetlinkWriter {
  bytes: Uint8Array;
  #view: DataView;
  #end = 0;
  #message = 0;

  constructor(initialBytes = 65_536) {
    this.bytes = new Uint8Array(initialBytes);
    this.#view = new DataView(this.bytes.buffer);
  }

  /** Bytes written since {@link reset}. */
  get length(): number {
    return this.#end;
  }

  reset(): void {
    this.#end = 0;
  }

  /** Makes room for `count` more bytes and returns where they begin. */
  reserve(count: number): number {
    const at = this.#end;
    const needed = at + count;
    if (needed > this.bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.bytes.length * 2));
      grown.set(this.bytes);
      this.bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#end = needed;
    return at;
  }

  /** Starts a message with its header and the four bytes of `nfgenmsg`. @returns its start */
  beginNfMessage(type: number, flags: number, sequence: number, family: number, resourceId: number): number {
    const at = this.beginMessage(type, flags, sequence);
    const body = this.reserve(4);
    this.#view.setUint8(body, family);
    this.#view.setUint8(body + 1, 0);
    this.#view.setUint16(body + 2, resourceId);
    return at;
  }

  beginMessage(type: number, flags: number, sequence: number): number {
    const at = this.reserve(HEADER_BYTES);
    this.#message = at;
    this.#view.setUint16(at + 4, type, true);
    this.#view.setUint16(at + 6, flags, true);
    this.#view.setUint32(at + 8, sequence, true);
    this.#view.setUint32(at + 12, 0, true);
    return at;
  }

  endMessage(): void {
    this.#view.setUint32(this.#message, this.#end - this.#message, true);
  }

  /** Sets flag bits of the message that began at `start`. */
  addFlags(start: number, flags: number): void {
    this.#view.setUint16(start + 6, this.#view.getUint16(start + 6, true) | flags, true);
  }

  /** Opens a nested attribute. @returns what {@link endNest} wants */
  beginNest(type: number): number {
    const at = this.reserve(4);
    this.#view.setUint16(at + 2, type, true);
    return at;
  }

  /** @throws {NetlinkTooLarge} when the attribute is longer than 65,535 bytes */
  endNest(at: number): void {
    const length = this.#end - at;
    if (length > 65_535) throw new NetlinkTooLarge(`netlink attribute of ${length} bytes`);
    this.#view.setUint16(at, length, true);
  }

  u8(type: number, value: number): void {
    const at = this.#attribute(type, 1);
    this.#view.setUint8(at, value);
  }

  u32(type: number, value: number): void {
    const at = this.#attribute(type, 4);
    this.#view.setUint32(at, value);
  }

  u64(type: number, value: bigint): void {
    const at = this.#attribute(type, 8);
    this.#view.setBigUint64(at, value);
  }

  /** Text with its terminating zero. */
  text(type: number, value: string): void {
    const { length } = value;
    // Names are ASCII: writing them byte by byte is six times faster than TextEncoder.
    const at = this.#attribute(type, length + 1);
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code > 0x7f) {
        this.#end = at - 4;
        this.raw(type, encoder.encode(`${value}\0`));
        return;
      }
      this.bytes[at + i] = code;
    }
    this.bytes[at + length] = 0;
  }

  raw(type: number, value: Uint8Array): void {
    const at = this.#attribute(type, value.length);
    this.bytes.set(value, at);
  }

  /** Like {@link raw} for `length` bytes of `source` from `offset`, without making a view. */
  rawSlice(type: number, source: Uint8Array, offset: number, length: number): void {
    const at = this.#attribute(type, length);
    const bytes = this.bytes;
    for (let i = 0; i < length; i++) bytes[at + i] = source[offset + i] as number;
  }

  #attribute(type: number, length: number): number {
    if (length > 65_531) throw new NetlinkTooLarge(`netlink attribute of ${length} bytes`);
    const padded = (length + 3) & ~3;
    const at = this.reserve(4 + padded);
    this.#view.setUint16(at, 4 + length, true);
    this.#view.setUint16(at + 2, type, true);
    for (let i = length; i < padded; i++) this.bytes[at + 4 + i] = 0;
    return at + 4;
  }
}
