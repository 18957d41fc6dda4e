/**
 * Layer codec. Reads netlink messages and attributes with every length checked: bytes from a socket are input like
 * any other. A damaged message ends the walk with {@link NetlinkMalformed}.
 */
import { HEADER_BYTES } from "./writer.ts";

export class NetlinkMalformed extends Error {
  override readonly name = "NetlinkMalformed";
}

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly port: number;
  /** Where the message's body begins and ends inside the buffer. */
  readonly start: number;
  readonly end: number;
}

export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
/** The dump was disturbed by a change: its content is not one state. */
export const NLM_F_DUMP_INTR = 0x10;
const NLM_F_ACK_TLVS = 0x200;
const NLM_F_CAPPED = 0x100;

/** All messages in the first `length` bytes. @throws {NetlinkMalformed} */
export function readMessages(buffer: Uint8Array, length: number): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  const view = viewOf(buffer);
  let at = 0;
  while (at < length) {
    if (length - at < HEADER_BYTES) throw new NetlinkMalformed("short netlink header");
    const size = view.getUint32(at, true);
    if (size < HEADER_BYTES || size > length - at)
      throw new NetlinkMalformed(`netlink message of ${size} bytes`);
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      port: view.getUint32(at + 12, true),
      start: at + HEADER_BYTES,
      end: at + size,
    });
    at += (size + 3) & ~3;
  }
  return messages;
}

/** One attribute; `type` is without the flag bits. */
export interface Attribute {
  readonly type: number;
  readonly start: number;
  readonly end: number;
}

/** Attributes between `start` and `end`. @throws {NetlinkMalformed} */
export function readAttributes(buffer: Uint8Array, start: number, end: number): Attribute[] {
  const attributes: Attribute[] = [];
  let at = start;
  if (end > buffer.length || start > end) throw new NetlinkMalformed("attributes beyond the buffer");
  while (at < end) {
    if (end - at < 4) throw new NetlinkMalformed("short netlink attribute");
    const size = (buffer[at] ?? 0) | ((buffer[at + 1] ?? 0) << 8);
    if (size < 4 || size > end - at) throw new NetlinkMalformed(`netlink attribute of ${size} bytes`);
    const type = ((buffer[at + 2] ?? 0) | ((buffer[at + 3] ?? 0) << 8)) & 0x3fff;
    attributes.push({ type, start: at + 4, end: at + size });
    at += (size + 3) & ~3;
  }
  return attributes;
}

/** Attributes by type; the last of equal ones counts. */
export function attributeMap(buffer: Uint8Array, start: number, end: number): Map<number, Attribute> {
  const map = new Map<number, Attribute>();
  for (const attribute of readAttributes(buffer, start, end)) map.set(attribute.type, attribute);
  return map;
}

export function viewOf(buffer: Uint8Array): DataView {
  return new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/** Big-endian unsigned value of 1, 2 or 4 bytes. @throws {NetlinkMalformed} for other sizes */
export function attributeNumber(buffer: Uint8Array, attribute: Attribute): number {
  const length = attribute.end - attribute.start;
  if (length !== 1 && length !== 2 && length !== 4) throw new NetlinkMalformed(`number of ${length} bytes`);
  let value = 0;
  for (let i = attribute.start; i < attribute.end; i++) value = value * 256 + (buffer[i] ?? 0);
  return value;
}

const decoder = new TextDecoder();

/** Text up to the terminating zero. */
export function attributeText(buffer: Uint8Array, attribute: Attribute): string {
  let end = attribute.start;
  while (end < attribute.end && buffer[end] !== 0) end++;
  return decoder.decode(buffer.subarray(attribute.start, end));
}

/** What an NLMSG_ERROR message says. `errno` is positive, 0 for an acknowledgement. */
export interface NetlinkError {
  readonly errno: number;
  /** Extended acknowledgement: offset of the blamed attribute in the request, and a text. */
  readonly offset?: number;
  readonly message?: string;
}

/** @throws {NetlinkMalformed} */
export function readError(buffer: Uint8Array, message: NetlinkMessage): NetlinkError {
  const view = viewOf(buffer);
  if (message.end - message.start < 4) throw new NetlinkMalformed("short netlink error");
  const errno = -view.getInt32(message.start, true);
  if ((message.flags & NLM_F_ACK_TLVS) === 0) return { errno };
  let at = message.start + 4 + HEADER_BYTES;
  if ((message.flags & NLM_F_CAPPED) === 0 && message.end - message.start >= 4 + HEADER_BYTES) {
    const request = view.getUint32(message.start + 4, true);
    at = message.start + 4 + ((Math.max(request, HEADER_BYTES) + 3) & ~3);
  }
  if (at > message.end) return { errno };
  const attributes = attributeMap(buffer, at, message.end);
  const text = attributes.get(1);
  const offset = attributes.get(2);
  return {
    errno,
    ...(text === undefined ? {} : { message: attributeText(buffer, text) }),
    ...(offset === undefined || offset.end - offset.start !== 4
      ? {}
      : { offset: view.getUint32(offset.start, true) }),
  };
}
