/**
 * Layer codec. DNS messages to octets, always compressed, cut to a size. Names are compressed only against names of the
 * same spelling, so that a client gets its own spelling back. A message that does not fit loses records from its tail;
 * TC says that answer or authority are incomplete (RFC 2181 section 9), a shortened additional section is not worth it.
 */

import { writeAddress } from "./address.ts";
import { TYPE } from "./constants.ts";
import type { DnsMessage, Edns, RecordData, ResourceRecord } from "./message.ts";
import { mayCompress } from "./message.ts";
import { labelOctets, labelsOf } from "./name.ts";

const HEADER_BYTES = 12;
export const MAX_MESSAGE_BYTES = 65_535;
/** Highest offset that 14 bits of a compression pointer can name. */
const MAX_POINTER = 0x3fff;

/** Behind it no octet is written: what does not fit is noticed after each record. */
const room = Buffer.allocUnsafe(2 * MAX_MESSAGE_BYTES + 2048);
let at = 0;
let seen = new Map<string, number>();
let previousName = "";
let previousOffset = 0;

/** A message that cannot be written: a value that does not fit its field. A bug of the caller, not of a user. */
export class Unencodable extends Error {
  override readonly name = "Unencodable";
}

/**
 * @param maxBytes size of the result at most; the header, questions and OPT are always written
 * @returns octets of their own
 */
export function encodeMessage(message: DnsMessage, maxBytes: number = MAX_MESSAGE_BYTES): Buffer {
  at = HEADER_BYTES;
  if (seen.size > 0) seen = new Map();
  previousName = "";
  for (const question of message.questions) {
    writeName(question.name, true);
    writeU16(question.type);
    writeU16(question.class);
  }
  const limit = maxBytes - (message.edns === undefined ? 0 : ednsBytes(message.edns));
  const answers = writeSection(message.answers, limit);
  let truncated = message.truncated || answers < message.answers.length;
  const authorities = truncated ? 0 : writeSection(message.authorities, limit);
  truncated ||= authorities < message.authorities.length;
  let additionals = truncated ? 0 : writeSection(message.additionals, limit);
  if (message.edns !== undefined) {
    writeEdns(message.edns, message.rcode);
    additionals++;
  }
  const end = at;
  at = 0;
  writeU16(message.id);
  writeU16(flagsOf(message, truncated));
  writeU16(message.questions.length);
  writeU16(answers);
  writeU16(authorities);
  writeU16(additionals);
  return Buffer.from(room.subarray(0, end));
}

function flagsOf(message: DnsMessage, truncated: boolean): number {
  return (
    (message.isResponse ? 0x8000 : 0) |
    ((message.opcode & 15) << 11) |
    (message.authoritative ? 0x0400 : 0) |
    (truncated ? 0x0200 : 0) |
    (message.recursionDesired ? 0x0100 : 0) |
    (message.recursionAvailable ? 0x0080 : 0) |
    (message.authenticData ? 0x0020 : 0) |
    (message.checkingDisabled ? 0x0010 : 0) |
    (message.rcode & 15)
  );
}

/** @returns how many records were written; a record that does not fit is taken back, with the names first seen in it */
function writeSection(records: readonly ResourceRecord[], limit: number): number {
  let count = 0;
  for (const record of records) {
    const start = at;
    writeRecord(record);
    if (at > limit) {
      at = start;
      for (const [name, offset] of seen) if (offset >= start) seen.delete(name);
      previousName = "";
      return count;
    }
    count++;
  }
  return count;
}

function writeRecord(record: ResourceRecord): void {
  writeName(record.name, true);
  writeU16(record.type);
  writeU16(record.class);
  writeU32(record.ttl);
  const lengthAt = at;
  at += 2;
  writeData(record.type, record.data);
  const length = at - lengthAt - 2;
  if (length > 65_535) throw new Unencodable("record data over 65535 octets");
  room.writeUInt16BE(length, lengthAt);
}

function writeData(type: number, data: RecordData): void {
  const compress = mayCompress(type);
  switch (data.kind) {
    case "address":
      at = writeAddress(data.address, room, at);
      return;
    case "name":
      writeName(data.name, compress);
      return;
    case "names":
      writeName(data.first, compress);
      writeName(data.second, compress);
      return;
    case "preference":
      writeU16(data.preference);
      writeName(data.name, compress);
      return;
    case "srv":
      writeU16(data.priority);
      writeU16(data.weight);
      writeU16(data.port);
      writeName(data.target, compress);
      return;
    case "texts":
      for (const text of data.texts) writeText(text);
      return;
    case "caa":
      writeU8(data.flags);
      writeText(data.tag);
      writeLatin1(data.value);
      return;
    case "soa":
      writeName(data.primary, compress);
      writeName(data.mailbox, compress);
      writeU32(data.serial);
      writeU32(data.refresh);
      writeU32(data.retry);
      writeU32(data.expire);
      writeU32(data.minimum);
      return;
    case "naptr":
      writeU16(data.order);
      writeU16(data.preference);
      writeText(data.flags);
      writeText(data.services);
      writeText(data.regexp);
      writeName(data.replacement, compress);
      return;
    case "opaque":
      if (data.bytes.length > 65_535) throw new Unencodable("record data over 65535 octets");
      room.set(data.bytes, at);
      at += data.bytes.length;
      return;
  }
}

function writeU8(value: number): void {
  room[at++] = value;
}

function writeU16(value: number): void {
  room[at] = value >> 8;
  room[at + 1] = value;
  at += 2;
}

function writeU32(value: number): void {
  room[at] = value >>> 24;
  room[at + 1] = value >>> 16;
  room[at + 2] = value >>> 8;
  room[at + 3] = value;
  at += 4;
}

function writeLatin1(text: string): void {
  if (text.length > 65_535) throw new Unencodable("text over 65535 octets");
  at += room.write(text, at, "latin1");
}

function writeText(text: string): void {
  if (text.length > 255) throw new Unencodable("character string over 255 octets");
  room[at++] = text.length;
  at += room.write(text, at, "latin1");
}

/** `compress` also allows later names to point here; every name is remembered, since pointing into any data is allowed. */
function writeName(name: string, compress: boolean): void {
  if (compress && name === previousName) {
    writeU16(0xc000 | previousOffset);
    return;
  }
  if (name.includes("\\")) {
    writeEscapedName(name);
    return;
  }
  const nameAt = at;
  let start = 0;
  while (start < name.length - 1 || (start === 0 && name !== ".")) {
    const suffix = start === 0 ? name : name.slice(start);
    const offset = compress ? seen.get(suffix) : undefined;
    if (offset !== undefined) {
      writeU16(0xc000 | offset);
      remember(name, offset, start, nameAt);
      return;
    }
    if (compress && at <= MAX_POINTER) seen.set(suffix, at);
    const dot = name.indexOf(".", start);
    const length = dot - start;
    if (dot < 0 || length < 1 || length > 63) throw new Unencodable(`not a name: ${name}`);
    room[at++] = length;
    for (let i = start; i < dot; i++) room[at++] = name.charCodeAt(i);
    start = dot + 1;
  }
  room[at++] = 0;
  remember(name, nameAt, 0, nameAt);
}

function remember(name: string, offset: number, start: number, nameAt: number): void {
  const where = start === 0 ? offset : nameAt;
  if (where > MAX_POINTER || where < HEADER_BYTES || name === ".") return;
  previousName = name;
  previousOffset = where;
}

/** Rare: names with escapes are written label by label and not compressed. */
function writeEscapedName(name: string): void {
  for (const label of labelsOf(name)) {
    const octets = labelOctets(label);
    if (octets === undefined || octets.length < 1 || octets.length > 63)
      throw new Unencodable(`not a name: ${name}`);
    room[at++] = octets.length;
    for (const octet of octets) room[at++] = octet;
  }
  room[at++] = 0;
}

function ednsBytes(edns: Edns): number {
  return edns.options.reduce((sum, option) => sum + 4 + option.bytes.length, 11);
}

function writeEdns(edns: Edns, rcode: number): void {
  room[at++] = 0;
  writeU16(TYPE.OPT);
  writeU16(edns.udpBytes);
  writeU8(rcode >> 4);
  writeU8(edns.version);
  writeU16(edns.dnssecOk ? 0x8000 : 0);
  writeU16(ednsBytes(edns) - 11);
  for (const option of edns.options) {
    writeU16(option.code);
    writeU16(option.bytes.length);
    room.set(option.bytes, at);
    at += option.bytes.length;
  }
}
