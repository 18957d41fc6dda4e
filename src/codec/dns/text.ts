/**
 * Layer codec. Record data as zone files write it (RFC 1035 section 5.1; RFC 3597 for unknown types), and back.
 */
import { type IpAddress, ipFamily, parseIp } from "../../model/ip.ts";
import { TYPE } from "./constants.ts";
import { dataKind, type RecordData } from "./message.ts";
import { parseName } from "./name.ts";
import { parseOctets } from "./opaque-text.ts";

/** Data as text, names absolute, character strings quoted. */
export function formatData(data: RecordData): string {
  switch (data.kind) {
    case "address":
      return data.address;
    case "name":
      return data.name;
    case "names":
      return `${data.first} ${data.second}`;
    case "preference":
      return `${data.preference} ${data.name}`;
    case "srv":
      return `${data.priority} ${data.weight} ${data.port} ${data.target}`;
    case "texts":
      return data.texts.map(quote).join(" ");
    case "caa":
      return `${data.flags} ${data.tag} ${quote(data.value)}`;
    case "soa":
      return `${data.primary} ${data.mailbox} ${data.serial} ${data.refresh} ${data.retry} ${data.expire} ${data.minimum}`;
    case "naptr":
      return [
        data.order,
        data.preference,
        quote(data.flags),
        quote(data.services),
        quote(data.regexp),
        data.replacement,
      ].join(" ");
    case "opaque":
      return `\\# ${data.bytes.length} ${Buffer.from(data.bytes).toString("hex")}`.trimEnd();
  }
}

function quote(text: string): string {
  let out = "";
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x22 || code === 0x5c) out += `\\${text[i]}`;
    else if (code >= 0x20 && code < 0x7f) out += text[i];
    else out += `\\${code.toString().padStart(3, "0")}`;
  }
  return `"${out}"`;
}

/** One word of a zone file line. */
export interface Word {
  /** Character string with its escapes resolved. */
  readonly text: string;
  /** As written, escapes kept: what a name is read from. */
  readonly raw: string;
  readonly isQuoted: boolean;
}

/** Splits a zone file line; a comment ends it. @returns `undefined` when a quote is not closed */
export function splitWords(line: string): readonly Word[] | undefined {
  const words: Word[] = [];
  let i = 0;
  while (i < line.length) {
    const first = line[i] ?? "";
    if (/\s/.test(first)) {
      i++;
      continue;
    }
    if (first === ";") break;
    const isQuoted = first === '"';
    if (isQuoted) i++;
    let text = "";
    let raw = "";
    let isClosed = !isQuoted;
    while (i < line.length) {
      const char = line[i] ?? "";
      if (isQuoted ? char === '"' : /[\s;]/.test(char)) {
        isClosed = true;
        if (isQuoted) i++;
        break;
      }
      const digits = char === "\\" ? /^\d{3}/.exec(line.slice(i + 1))?.[0] : undefined;
      const step = digits !== undefined ? 4 : char === "\\" ? 2 : 1;
      raw += line.slice(i, i + step);
      text += digits !== undefined ? String.fromCharCode(Number(digits) & 255) : (line[i + step - 1] ?? "");
      i += step;
    }
    if (!isClosed) return undefined;
    words.push({ text, raw, isQuoted });
  }
  return words;
}

/**
 * Reads the data of a record.
 * @param origin absolute name that relative names get; absent: every name is taken as absolute
 * @returns `undefined` when the words are no data of that type
 */
export function parseData(type: number, words: readonly Word[], origin?: string): RecordData | undefined {
  const name = (i: number): string | undefined => resolveName(words[i]?.raw, origin);
  const int = (i: number, maximum = 65_535): number | undefined => parseInteger(words[i]?.text, maximum);
  const word = (i: number): string | undefined => words[i]?.text;
  if (words[0]?.text === "#" && words[0].raw === "\\#") return parseOpaque(words);
  const kind = dataKind(type);
  switch (kind) {
    case "address":
      return parseAddress(type, words);
    case "name":
      return complete({ kind, name: name(0) }, words, 1);
    case "names":
      return complete({ kind, first: name(0), second: name(1) }, words, 2);
    case "preference":
      return complete({ kind, preference: int(0), name: name(1) }, words, 2);
    case "srv":
      return complete({ kind, priority: int(0), weight: int(1), port: int(2), target: name(3) }, words, 4);
    case "texts":
      return words.length === 0 || words.some((part) => part.text.length > 255)
        ? undefined
        : { kind, texts: words.map((part) => part.text) };
    case "caa":
      return complete({ kind, flags: int(0, 255), tag: word(1), value: word(2) }, words, 3);
    case "soa":
      return complete(
        {
          kind,
          primary: name(0),
          mailbox: name(1),
          serial: int(2, 0xffff_ffff),
          refresh: parseTtl(word(3)),
          retry: parseTtl(word(4)),
          expire: parseTtl(word(5)),
          minimum: parseTtl(word(6)),
        },
        words,
        7,
      );
    case "naptr":
      return complete(
        {
          kind,
          order: int(0),
          preference: int(1),
          flags: word(2),
          services: word(3),
          regexp: word(4),
          replacement: name(5),
        },
        words,
        6,
      );
    case "opaque": {
      const bytes = parseOctets(type, words, (raw) => resolveName(raw, origin));
      return bytes === undefined ? undefined : { kind, bytes };
    }
  }
}

type Partial<T> = { readonly [K in keyof T]: T[K] | undefined };

function complete<T extends RecordData>(
  data: Partial<T>,
  words: readonly Word[],
  count: number,
): T | undefined {
  return words.length === count && Object.values(data).every((value) => value !== undefined)
    ? (data as T)
    : undefined;
}

function parseAddress(type: number, words: readonly Word[]): RecordData | undefined {
  const address: IpAddress | undefined = parseIp(words[0]?.text ?? "");
  const family = type === TYPE.A ? "ip" : "ip6";
  return address !== undefined && words.length === 1 && ipFamily(address) === family
    ? { kind: "address", address }
    : undefined;
}

function parseOpaque(words: readonly Word[]): RecordData | undefined {
  const hex = words
    .slice(2)
    .map((word) => word.text)
    .join("");
  const bytes = Buffer.from(hex, "hex");
  return bytes.length === Number(words[1]?.text) && hex.length === bytes.length * 2
    ? { kind: "opaque", bytes }
    : undefined;
}

/** A name in a zone: `@` is the origin, a name without final dot is below it. */
export function resolveName(text: string | undefined, origin: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (text === "@" && origin !== undefined) return origin;
  if (origin === undefined || text.endsWith(".")) return parseName(text);
  return parseName(origin === "." ? `${text}.` : `${text}.${origin}`);
}

function parseInteger(text: string | undefined, maximum: number): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const value = Number(text);
  return value <= maximum ? value : undefined;
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** Seconds, or BIND's units (`1h30m`). */
export function parseTtl(text: string | undefined): number | undefined {
  if (text === undefined || !/^(?:\d{1,10}[smhdw]?)+$/i.test(text)) return undefined;
  let seconds = 0;
  for (const [, digits, unit] of text.matchAll(/(\d+)([smhdw]?)/gi)) {
    seconds += Number(digits) * (UNIT_SECONDS[(unit ?? "").toLowerCase()] ?? 1);
  }
  return seconds <= 0x7fff_ffff ? seconds : undefined;
}
