/** Layer dns. Formats of the query log: text with placeholders, compiled once. */
import { formatClass, formatRcode, formatType } from "../../../codec/dns/constants.ts";
import type { DnsMessage } from "../../../codec/dns/message.ts";
import type { Observation } from "../../plugin.ts";
import type { DnsQuery } from "../../query.ts";

type Part = (query: DnsQuery, seen: Observation) => string;

export const COMMON =
  '{remote}:{port} - {>id} "{type} {class} {name} {proto} {size} {>do} {>bufsize}" {rcode} {>rflags} {rsize} {duration}';
const COMBINED = `${COMMON} "{>opcode}"`;
const NAMED: Readonly<Record<string, string>> = { "{common}": COMMON, "{combined}": COMBINED };

const PLACEHOLDERS: Readonly<Record<string, Part>> = {
  "{type}": (query) => formatType(query.type),
  "{name}": (query) => query.lowerName,
  "{class}": (query) => formatClass(query.class),
  "{proto}": (query) => (query.client.transport === "udp" ? "udp" : "tcp"),
  "{remote}": (query) => bracketed(query.client.address),
  "{port}": (query) => String(query.client.port),
  "{local}": (query) => bracketed(query.client.localAddress),
  "{size}": (_query, seen) => String(seen.requestBytes),
  "{rsize}": (_query, seen) => String(seen.replyBytes),
  "{rcode}": (_query, seen) => (seen.message === undefined ? "-" : formatRcode(seen.message.rcode)),
  "{duration}": (_query, seen) => `${(seen.durationMs / 1000).toFixed(9)}s`,
  "{>rflags}": (_query, seen) => (seen.message === undefined ? "-" : formatFlags(seen.message)),
  "{>bufsize}": (query) => String(query.message.edns?.udpBytes ?? 512),
  "{>do}": (query) => String(query.message.edns?.dnssecOk ?? false),
  "{>id}": (query) => String(query.message.id),
  "{>opcode}": (query) => String(query.message.opcode),
};

/** @returns a function that writes a line, or the placeholder that is not known */
export function compileFormat(
  text: string,
):
  | { readonly kind: "format"; readonly write: Part }
  | { readonly kind: "unknown"; readonly placeholder: string } {
  const expanded = text.replaceAll(/\{common\}|\{combined\}/g, (name) => NAMED[name] ?? name);
  const parts: Part[] = [];
  for (const piece of expanded.split(/(\{[^{}]+\})/)) {
    const placeholder = PLACEHOLDERS[piece];
    const label = /^\{\/([^{}]+)\}$/.exec(piece)?.[1];
    if (placeholder !== undefined) parts.push(placeholder);
    else if (label !== undefined) parts.push((query) => query.metadata?.get(label) ?? "-");
    // Other braces are text, as in lines that are JSON.
    else if (/^\{>?\w+\}$/.test(piece)) return { kind: "unknown", placeholder: piece };
    else if (piece !== "") parts.push(() => piece);
  }
  return { kind: "format", write: (query, seen) => parts.map((part) => part(query, seen)).join("") };
}

export function placeholderNames(): readonly string[] {
  return Object.keys(PLACEHOLDERS);
}

function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

/** `qr,aa,rd`. */
function formatFlags(message: DnsMessage): string {
  return [
    message.isResponse ? "qr" : "",
    message.authoritative ? "aa" : "",
    message.truncated ? "tc" : "",
    message.recursionDesired ? "rd" : "",
    message.recursionAvailable ? "ra" : "",
    message.authenticData ? "ad" : "",
    message.checkingDisabled ? "cd" : "",
  ]
    .filter((flag) => flag !== "")
    .join(",");
}
