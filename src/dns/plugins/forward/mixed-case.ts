/**
 * Layer dns. Random upper and lower case in names that go upstream ("0x20"): a forger has to guess it too. Replies get the
 * client's spelling back wherever the upstream has copied ours.
 */
import { randomBytes } from "node:crypto";
import type { DnsMessage, RecordData, ResourceRecord } from "../../../codec/dns/message.ts";

const POOL_BYTES = 1024;
let pool = randomBytes(0);
let at = 0;

/** A random bit for each letter; names with escapes stay as they are. */
export function mixCase(name: string): string {
  if (name.includes("\\") || !/[a-zA-Z]/.test(name)) return name;
  let mixed = "";
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    const folded = code | 0x20;
    mixed +=
      folded >= 0x61 && folded <= 0x7a ? String.fromCharCode(randomBit() ? folded : folded & ~0x20) : name[i];
  }
  return mixed;
}

function randomBit(): boolean {
  if (at >= pool.length * 8) {
    pool = randomBytes(POOL_BYTES);
    at = 0;
  }
  const bit = ((pool[at >> 3] ?? 0) >> (at & 7)) & 1;
  at++;
  return bit === 1;
}

/** Names of the reply that share labels with the mixed name, with the client's spelling of these. Cost O(size of the reply). */
export function unmixCase(message: DnsMessage, mixed: string, original: string): DnsMessage {
  if (mixed === original) return message;
  const fix = (name: string): string => spelledBack(name, mixed, original);
  const fixRecord = (record: ResourceRecord): ResourceRecord => ({
    ...record,
    name: fix(record.name),
    data: fixData(record.data, fix),
  });
  return {
    ...message,
    questions: message.questions.map((question) => ({ ...question, name: fix(question.name) })),
    answers: message.answers.map(fixRecord),
    authorities: message.authorities.map(fixRecord),
    additionals: message.additionals.map(fixRecord),
  };
}

/** The longest common end of whole labels, letter by letter, is what a compression pointer into our question left. */
function spelledBack(name: string, mixed: string, original: string): string {
  let common = 0;
  let length = 0;
  while (length < name.length && length < mixed.length) {
    if (name[name.length - 1 - length] !== mixed[mixed.length - 1 - length]) break;
    length++;
    const isWhole = length === name.length || name[name.length - 1 - length] === ".";
    const isLabel = length === mixed.length || mixed[mixed.length - 1 - length] === ".";
    if (isWhole && isLabel) common = length;
  }
  if (common === 0) return name;
  return name.slice(0, name.length - common) + original.slice(original.length - common);
}

function fixData(data: RecordData, fix: (name: string) => string): RecordData {
  switch (data.kind) {
    case "name":
    case "preference":
      return { ...data, name: fix(data.name) };
    case "names":
      return { ...data, first: fix(data.first), second: fix(data.second) };
    case "soa":
      return { ...data, primary: fix(data.primary), mailbox: fix(data.mailbox) };
    case "srv":
      return { ...data, target: fix(data.target) };
    case "naptr":
      return { ...data, replacement: fix(data.replacement) };
    case "address":
    case "texts":
    case "caa":
    case "opaque":
      return data;
  }
}
