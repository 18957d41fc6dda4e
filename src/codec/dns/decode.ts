/**
 * Layer codec. Octets to DNS messages. Every read is checked against the end; compression pointers must point backwards
 * (so a name ends after at most 127 of them), names are at most 255 octets. Never throws on bad input.
 */
import type { IpAddress } from "../../model/ip.ts";
import { ipFromBytes } from "../../model/ip.ts";
import { CLASS, TYPE } from "./constants.ts";
import type { DnsMessage, Edns, EdnsOption, Question, RecordData, ResourceRecord } from "./message.ts";
import { dataKind } from "./message.ts";
import { escapeOctet, isPlainOctet, MAX_NAME_BYTES } from "./name.ts";

/** What a packet starts with; known even when the rest is malformed. */
export interface Header {
  readonly id: number;
  readonly flags: number;
  readonly questionCount: number;
  readonly answerCount: number;
  readonly authorityCount: number;
  readonly additionalCount: number;
}

export type Decoded =
  | { readonly kind: "message"; readonly message: DnsMessage }
  /** `question` is there when the first question could still be read. */
  | { readonly kind: "malformed"; readonly reason: string; readonly question?: Question };

/** Thrown and caught inside this file only. */
class Malformed extends Error {}

const HEADER_BYTES = 12;
const scratch = Buffer.allocUnsafe(MAX_NAME_BYTES);

/** The fixed first twelve octets, or `undefined` when there are fewer. */
export function decodeHeader(bytes: Uint8Array): Header | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  return {
    id: u16(bytes, 0),
    flags: u16(bytes, 2),
    questionCount: u16(bytes, 4),
    answerCount: u16(bytes, 6),
    authorityCount: u16(bytes, 8),
    additionalCount: u16(bytes, 10),
  };
}

/** Reads a whole message. Octets behind the last record are malformed (RFC 1035 has no place for them). */
export function decodeMessage(bytes: Uint8Array): Decoded {
  const header = decodeHeader(bytes);
  if (header === undefined) return { kind: "malformed", reason: "shorter than a header" };
  let question: Question | undefined;
  try {
    const reader = new Reader(bytes, HEADER_BYTES);
    const questions: Question[] = [];
    for (let i = 0; i < header.questionCount; i++) {
      const next = readQuestion(reader);
      question ??= next;
      questions.push(next);
    }
    const answers = readSection(reader, header.answerCount);
    const authorities = readSection(reader, header.authorityCount);
    const additionals: ResourceRecord[] = [];
    let edns: (Edns & { readonly extendedRcode: number }) | undefined;
    for (let i = 0; i < header.additionalCount; i++) {
      const name = reader.name();
      const type = reader.u16();
      if (type !== TYPE.OPT) additionals.push(readRecord(reader, name, type));
      else if (edns !== undefined) throw new Malformed("two OPT records");
      else if (name !== ".") throw new Malformed("owner of OPT is not the root");
      else edns = readEdns(reader);
    }
    if (reader.at !== bytes.length) throw new Malformed("octets behind the last record");
    return {
      kind: "message",
      message: build(header, { questions, answers, authorities, additionals }, edns),
    };
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return question === undefined
      ? { kind: "malformed", reason: error.message }
      : { kind: "malformed", reason: error.message, question };
  }
}

type Sections = Pick<DnsMessage, "questions" | "answers" | "authorities" | "additionals">;

function build(
  header: Header,
  sections: Sections,
  edns: (Edns & { readonly extendedRcode: number }) | undefined,
): DnsMessage {
  const flags = header.flags;
  const message = {
    id: header.id,
    isResponse: (flags & 0x8000) !== 0,
    opcode: (flags >> 11) & 15,
    authoritative: (flags & 0x0400) !== 0,
    truncated: (flags & 0x0200) !== 0,
    recursionDesired: (flags & 0x0100) !== 0,
    recursionAvailable: (flags & 0x0080) !== 0,
    authenticData: (flags & 0x0020) !== 0,
    checkingDisabled: (flags & 0x0010) !== 0,
    rcode: (flags & 15) | ((edns?.extendedRcode ?? 0) << 4),
    questions: sections.questions,
    answers: sections.answers,
    authorities: sections.authorities,
    additionals: sections.additionals,
  };
  if (edns === undefined) return message;
  const { udpBytes, version, dnssecOk, options } = edns;
  return { ...message, edns: { udpBytes, version, dnssecOk, options } };
}

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

class Reader {
  readonly bytes: Uint8Array;
  at: number;
  /** First octet that may not be read: the end of the packet, or of the record's data while that is read. */
  end: number;

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.at = at;
    this.end = bytes.length;
  }

  u8(): number {
    if (this.at + 1 > this.end) throw new Malformed("cut short");
    return this.bytes[this.at++] ?? 0;
  }

  u16(): number {
    if (this.at + 2 > this.end) throw new Malformed("cut short");
    const value = u16(this.bytes, this.at);
    this.at += 2;
    return value;
  }

  u32(): number {
    return this.u16() * 65_536 + this.u16();
  }

  take(count: number): Uint8Array {
    if (this.at + count > this.end) throw new Malformed("cut short");
    const part = new Uint8Array(this.bytes.subarray(this.at, this.at + count));
    this.at += count;
    return part;
  }

  /** Character string: length octet and as many octets. */
  text(): string {
    const length = this.u8();
    return Buffer.from(this.take(length)).toString("latin1");
  }

  /** A name that may be compressed. Plain names cost one native call; others are escaped octet by octet. */
  name(): string {
    const { bytes } = this;
    let at = this.at;
    let end = this.end;
    let resume = -1;
    let lowest = at;
    let length = 0;
    let plain = true;
    let wireBytes = 1;
    let escaped = "";
    for (;;) {
      if (at >= end) throw new Malformed("name is cut short");
      const size = bytes[at] ?? 0;
      if (size === 0) {
        at++;
        break;
      }
      if (size >= 0xc0) {
        if (at + 1 >= end) throw new Malformed("name is cut short");
        const target = ((size & 0x3f) << 8) | (bytes[at + 1] ?? 0);
        if (target >= lowest || target < HEADER_BYTES)
          throw new Malformed("compression pointer does not point back");
        if (resume < 0) resume = at + 2;
        lowest = target;
        at = target;
        end = bytes.length;
        continue;
      }
      if (size > 63) throw new Malformed("unknown label type");
      wireBytes += size + 1;
      if (wireBytes > MAX_NAME_BYTES) throw new Malformed("name is longer than 255 octets");
      if (at + 1 + size > end) throw new Malformed("name is cut short");
      for (let i = at + 1; i <= at + size; i++) {
        const octet = bytes[i] ?? 0;
        if (plain && !isPlainOctet(octet)) {
          plain = false;
          escaped = scratch.toString("latin1", 0, length);
        }
        if (plain) scratch[length++] = octet;
        else escaped += escapeOctet(octet);
      }
      if (plain) scratch[length++] = 0x2e;
      else escaped += ".";
      at += size + 1;
    }
    this.at = resume < 0 ? at : resume;
    if (!plain) return escaped;
    return length === 0 ? "." : scratch.toString("latin1", 0, length);
  }
}

function readQuestion(reader: Reader): Question {
  const name = reader.name();
  const type = reader.u16();
  return { name, type, class: reader.u16() };
}

function readSection(reader: Reader, count: number): ResourceRecord[] {
  const records: ResourceRecord[] = [];
  for (let i = 0; i < count; i++) {
    const name = reader.name();
    const type = reader.u16();
    if (type === TYPE.OPT) throw new Malformed("OPT outside the additional section");
    records.push(readRecord(reader, name, type));
  }
  return records;
}

function readRecord(reader: Reader, name: string, type: number): ResourceRecord {
  const recordClass = reader.u16();
  const ttl = reader.u32();
  const length = reader.u16();
  const outerEnd = reader.end;
  const end = reader.at + length;
  if (end > outerEnd) throw new Malformed("record data is cut short");
  reader.end = end;
  const data =
    length === 0 || recordClass !== CLASS.IN ? readForeign(reader, type, length) : readData(reader, type);
  if (reader.at !== end) throw new Malformed("record data has a wrong length");
  reader.end = outerEnd;
  return { name, type, class: recordClass, ttl: ttl > 0x7fff_ffff ? 0 : ttl, data };
}

/** Data of other classes, and empty data as in updates: only texts have the same form everywhere. */
function readForeign(reader: Reader, type: number, length: number): RecordData {
  if (length > 0 && dataKind(type) === "texts") return readData(reader, type);
  return { kind: "opaque", bytes: reader.take(length) };
}

function readData(reader: Reader, type: number): RecordData {
  const kind = dataKind(type);
  switch (kind) {
    case "address":
      return { kind, address: readAddress(reader, type === TYPE.A ? 4 : 16) };
    case "name":
      return { kind, name: reader.name() };
    case "names":
      return { kind, first: reader.name(), second: reader.name() };
    case "preference":
      return { kind, preference: reader.u16(), name: reader.name() };
    case "srv":
      return {
        kind,
        priority: reader.u16(),
        weight: reader.u16(),
        port: reader.u16(),
        target: reader.name(),
      };
    case "texts":
      return { kind, texts: readTexts(reader) };
    case "caa":
      return { kind, flags: reader.u8(), tag: reader.text(), value: readRest(reader) };
    case "soa":
      return {
        kind,
        primary: reader.name(),
        mailbox: reader.name(),
        serial: reader.u32(),
        refresh: reader.u32(),
        retry: reader.u32(),
        expire: reader.u32(),
        minimum: reader.u32(),
      };
    case "naptr":
      return {
        kind,
        order: reader.u16(),
        preference: reader.u16(),
        flags: reader.text(),
        services: reader.text(),
        regexp: reader.text(),
        replacement: reader.name(),
      };
    case "opaque":
      return { kind, bytes: reader.take(reader.end - reader.at) };
  }
}

function readAddress(reader: Reader, size: number): IpAddress {
  const address = ipFromBytes(reader.take(size));
  if (address === undefined) throw new Malformed("not an address");
  return address;
}

function readTexts(reader: Reader): string[] {
  const texts: string[] = [];
  while (reader.at < reader.end) texts.push(reader.text());
  return texts;
}

function readRest(reader: Reader): string {
  return Buffer.from(reader.take(reader.end - reader.at)).toString("latin1");
}

/** The OPT record behind its type (RFC 6891 section 6.1). */
function readEdns(reader: Reader): Edns & { readonly extendedRcode: number } {
  const udpBytes = reader.u16();
  const extendedRcode = reader.u8();
  const version = reader.u8();
  const flags = reader.u16();
  const length = reader.u16();
  const outerEnd = reader.end;
  const end = reader.at + length;
  if (end > outerEnd) throw new Malformed("OPT is cut short");
  reader.end = end;
  const options: EdnsOption[] = [];
  while (reader.at < end) {
    const code = reader.u16();
    options.push({ code, bytes: reader.take(reader.u16()) });
  }
  reader.end = outerEnd;
  return { udpBytes, extendedRcode, version, dnssecOk: (flags & 0x8000) !== 0, options };
}
