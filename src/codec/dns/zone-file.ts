/** Layer codec. Zone files (RFC 1035 section 5): records line by line, `$ORIGIN`, `$TTL`, parentheses, `@`, blank owners. */
import { CLASS, parseClass, parseType } from "./constants.ts";
import type { ResourceRecord } from "./message.ts";
import { parseData, parseTtl, resolveName, splitWords, type Word } from "./text.ts";

export interface ZoneDefaults {
  readonly origin: string;
  readonly defaultTtl: number;
}

export type ParsedZone =
  | { readonly kind: "records"; readonly records: readonly ResourceRecord[] }
  /** Line from 1. */
  | { readonly kind: "bad"; readonly line: number; readonly reason: string };

/** One record `NAME [TTL] [CLASS] TYPE DATA`, or `undefined` when the line is none. */
export function parseRecordLine(line: string, defaults: ZoneDefaults): ResourceRecord | undefined {
  const [whole = { content: "" }, ...more] = joinLines(line);
  if (more.some(({ content }) => content.trim() !== "")) return undefined;
  const words = splitWords(whole.content);
  const owner = resolveName(words?.[0]?.raw, defaults.origin);
  return words === undefined || owner === undefined ? undefined : readRecord(owner, words.slice(1), defaults);
}

/** Reads a whole file. `$INCLUDE` is refused: nothing is read from elsewhere. */
export function parseZoneFile(text: string, origin: string): ParsedZone {
  const records: ResourceRecord[] = [];
  let defaults: ZoneDefaults = { origin, defaultTtl: 3600 };
  let owner: string | undefined;
  for (const { line, content } of joinLines(text)) {
    const words = splitWords(content);
    const bad = (reason: string): ParsedZone => ({ kind: "bad", line, reason });
    if (words === undefined) return bad("a quote is not closed");
    const [first] = words;
    if (first === undefined) continue;
    if (first.text === "$ORIGIN" || first.text === "$TTL") {
      const value = words[1];
      const name = first.text === "$ORIGIN" ? resolveName(value?.raw, defaults.origin) : undefined;
      const ttl = first.text === "$TTL" ? parseTtl(value?.text) : undefined;
      if (name === undefined && ttl === undefined) return bad(`${first.text} needs a value`);
      defaults = { origin: name ?? defaults.origin, defaultTtl: ttl ?? defaults.defaultTtl };
      continue;
    }
    if (first.text.startsWith("$")) return bad(`${first.text} is not supported`);
    const hasOwner = !/^\s/.test(content);
    if (hasOwner) owner = resolveName(first.raw, defaults.origin);
    if (owner === undefined) return bad("no owner name");
    const record = readRecord(owner, hasOwner ? words.slice(1) : words, defaults);
    if (record === undefined) return bad("no record: NAME [TTL] [CLASS] TYPE DATA");
    records.push(record);
  }
  return { kind: "records", records };
}

/** TTL and class may stand in any order before the type. */
function readRecord(
  name: string,
  words: readonly Word[],
  defaults: ZoneDefaults,
): ResourceRecord | undefined {
  let ttl = defaults.defaultTtl;
  let recordClass: number = CLASS.IN;
  for (const [i, word] of words.entries()) {
    const type = parseType(word.text);
    if (type !== undefined) {
      const data = parseData(type, words.slice(i + 1), defaults.origin);
      return data === undefined ? undefined : { name, type, class: recordClass, ttl, data };
    }
    const seconds = parseTtl(word.text);
    const named = parseClass(word.text);
    if (i >= 2 || (seconds === undefined && named === undefined)) return undefined;
    if (seconds !== undefined) ttl = seconds;
    else recordClass = named ?? recordClass;
  }
  return undefined;
}

/** Joins what parentheses hold together; comments end at their line. */
function* joinLines(text: string): Generator<{ readonly line: number; readonly content: string }> {
  let start = 0;
  let depth = 0;
  let held = "";
  for (const [i, raw] of text.split("\n").entries()) {
    if (depth === 0) {
      start = i + 1;
      held = "";
    }
    let isQuoted = false;
    for (let at = 0; at < raw.length; at++) {
      const char = raw[at] ?? "";
      if (char === "\\") {
        held += char + (raw[++at] ?? "");
        continue;
      }
      if (char === '"') isQuoted = !isQuoted;
      if (!isQuoted && char === ";") break;
      if (!isQuoted && char === "(") depth++;
      else if (!isQuoted && char === ")") depth = Math.max(0, depth - 1);
      else held += char;
    }
    if (depth === 0) yield { line: start, content: held.trimEnd() };
    else held += " ";
  }
  if (depth > 0) yield { line: start, content: held.trimEnd() };
}
