/**
 * Layer dns. `rewrite edns0`: options for what goes upstream. What the client sent itself goes no further than here, but
 * decides whether there is something to replace.
 */

import type { EdnsOption } from "../../../codec/dns/message.ts";
import { ipFamily, ipToBytes, parseIp } from "../../../model/ip.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import type { Directive } from "../../corefile/parser.ts";
import type { DnsQuery } from "../../query.ts";
import type { Rule } from "./rewrite.ts";

const CODES = { nsid: 3, subnet: 8 } as const;
const ACTIONS = ["set", "append", "replace", "unset"] as const;
const KINDS = "local, nsid, subnet";
const MAX_DATA_BYTES = 1_024;

/** What an option holds for this query; `undefined` when it cannot be said. */
type Content = (query: DnsQuery) => Uint8Array | undefined;

/** `edns0 local ACTION CODE [DATA] [revert]`, `edns0 nsid ACTION [revert]`, `edns0 subnet ACTION [V4BITS V6BITS] [revert]`. */
export function ednsRule(directive: Directive, words: string[]): Rule["apply"] {
  const kind = words.shift() ?? "";
  const action = ACTIONS.find((name) => name === words[0]);
  if (action === undefined) {
    throw corefileError(
      directive,
      "rewrite",
      `edns0: "${words[0] ?? ""}" is not allowed; allowed: ${ACTIONS.join(", ")}`,
    );
  }
  words.shift();
  // Options of replies are never those of upstreams, so there is nothing to take back.
  if (words.at(-1) === "revert") words.pop();
  const { code, content } = contentOf(directive, { kind, isUnset: action === "unset" }, words);
  return ({ query, upstreamOptions }) => {
    const isThere =
      upstreamOptions.some((option) => option.code === code) ||
      query.message.edns?.options.some((option) => option.code === code) === true;
    const others = upstreamOptions.filter((option) => option.code !== code);
    if (action === "unset") return { upstreamOptions: others };
    if (action === "replace" && !isThere) return undefined;
    if (action === "append" && isThere) return undefined;
    const bytes = content(query);
    if (bytes === undefined) return undefined;
    const option: EdnsOption = { code, bytes };
    return { upstreamOptions: [...others, option] };
  };
}

function contentOf(
  directive: Directive,
  { kind, isUnset }: { readonly kind: string; readonly isUnset: boolean },
  words: readonly string[],
): { readonly code: number; readonly content: Content } {
  const wanted = isUnset ? 0 : kind === "local" ? 1 : kind === "subnet" ? 2 : 0;
  const offset = kind === "local" ? 1 : 0;
  if (words.length !== wanted + offset) {
    throw corefileError(directive, "rewrite", `edns0 ${kind}: wrong number of arguments (${words.length})`);
  }
  switch (kind) {
    case "nsid":
      return { code: CODES.nsid, content: () => new Uint8Array() };
    case "subnet":
      return { code: CODES.subnet, content: isUnset ? () => undefined : subnet(directive, words) };
    case "local": {
      const code = Number(words[0]);
      if (!Number.isInteger(code) || code < 1 || code > 65_535) {
        throw corefileError(
          directive,
          "rewrite",
          `edns0 local: "${words[0] ?? ""}" is no option code (1 to 65535)`,
        );
      }
      return { code, content: local(directive, words[1] ?? "") };
    }
    default:
      throw corefileError(directive, "rewrite", `edns0: "${kind}" is not allowed; allowed: ${KINDS}`);
  }
}

const VARIABLES: Readonly<Record<string, (query: DnsQuery) => Buffer>> = {
  qname: (query) => Buffer.from(query.lowerName),
  qtype: (query) => u16(query.type),
  client_ip: (query) => addressBytes(query.client.address),
  client_port: (query) => u16(query.client.port),
  protocol: (query) => Buffer.from(query.client.transport === "udp" ? "udp" : "tcp"),
  server_ip: (query) => addressBytes(query.client.localAddress),
  server_port: (query) => u16(query.client.localPort),
};

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function addressBytes(text: string): Buffer {
  const address = parseIp(text.split("%")[0] ?? "");
  return address === undefined ? Buffer.alloc(0) : Buffer.from(ipToBytes(address));
}

/** `{variable}`, `{plugin/label}` of the metadata plugin, hexadecimal behind `0x`, or the text itself. */
function local(directive: Directive, data: string): Content {
  const name = /^\{([^{}]+)\}$/.exec(data)?.[1];
  if (name !== undefined) {
    const variable = Object.hasOwn(VARIABLES, name) ? VARIABLES[name] : undefined;
    if (variable !== undefined) return variable;
    if (name.includes("/")) return (query) => Buffer.from(query.metadata?.get(name) ?? "");
    const allowed = Object.keys(VARIABLES).join(", ");
    throw corefileError(
      directive,
      "rewrite",
      `edns0 local: unknown variable {${name}}; allowed: ${allowed}, a label`,
    );
  }
  const isHex = data.startsWith("0x");
  if (isHex && !/^0x(?:[0-9a-fA-F]{2})*$/.test(data)) {
    throw corefileError(directive, "rewrite", `edns0 local: "${data}" is not hexadecimal`);
  }
  const bytes = isHex ? Buffer.from(data.slice(2), "hex") : Buffer.from(data);
  if (bytes.length > MAX_DATA_BYTES) {
    throw corefileError(directive, "rewrite", `edns0 local: longer than ${MAX_DATA_BYTES} octets`);
  }
  return () => bytes;
}

/** RFC 7871: family, bits, scope 0, and as many octets of the address as the bits need. */
function subnet(directive: Directive, words: readonly string[]): Content {
  const [v4 = Number.NaN, v6 = Number.NaN] = words.map(Number);
  if (!Number.isInteger(v4) || v4 < 0 || v4 > 32 || !Number.isInteger(v6) || v6 < 0 || v6 > 128) {
    throw corefileError(
      directive,
      "rewrite",
      "the form is: rewrite edns0 subnet ACTION V4BITS(0-32) V6BITS(0-128)",
    );
  }
  return (query) => {
    const address = parseIp(query.client.address.split("%")[0] ?? "");
    if (address === undefined) return undefined;
    const isV4 = ipFamily(address) === "ip";
    const bits = isV4 ? v4 : v6;
    const bytes = Buffer.from(ipToBytes(address)).subarray(0, Math.ceil(bits / 8));
    const last = bytes.length - 1;
    if (bits % 8 !== 0) bytes[last] = (bytes[last] ?? 0) & (0xff << (8 - (bits % 8)));
    return Buffer.concat([Buffer.of(0, isV4 ? 1 : 2, bits, 0), bytes]);
  };
}
