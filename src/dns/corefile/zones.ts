/**
 * Layer dns. Zones and server keys as Corefiles write them: `[scheme://]zone[:port]`, zones also as CIDR, which becomes the
 * zones of whole octets or nibbles of the reverse tree that cover it (10.0.0.0/27: 32 zones of one address).
 */
import { parseName } from "../../codec/dns/name.ts";
import { type Cidr, ipFamily, ipToBytes, parseCidr } from "../../model/ip.ts";

export const SCHEMES = { dns: 53, tls: 853, https: 443 } as const;
export type Scheme = keyof typeof SCHEMES;
/** Known to CoreDNS, not to us: refused by name. */
const FOREIGN_SCHEMES = ["quic", "grpc", "https3"];

/** One listener and zone of a server block. */
export interface ServerKey {
  readonly scheme: Scheme;
  /** Absolute, lower case. */
  readonly zone: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

/** A reverse range may need up to 128 zones (a /9 between two octets, a /1 of nibbles needs 8). */
const MAX_EXPANSION = 256;

/**
 * Zones that `text` names: one, or those that cover a CIDR.
 * @returns absolute lower-case names, or `undefined` when it is neither a name nor a range
 */
export function expandZone(text: string): readonly string[] | undefined {
  if (text.includes("/")) {
    const cidr = parseCidr(text);
    return cidr === undefined ? undefined : expandCidr(cidr);
  }
  const name = parseName(text);
  return name === undefined ? undefined : [name.toLowerCase()];
}

function expandCidr(cidr: Cidr): readonly string[] | undefined {
  const isV4 = ipFamily(cidr.address) === "ip";
  const unitBits = isV4 ? 8 : 4;
  const bytes = ipToBytes(cidr.address);
  const { prefixBits } = cidr;
  const wholeUnits = Math.floor(prefixBits / unitBits);
  const restBits = prefixBits % unitBits;
  const unitAt = (index: number): number =>
    isV4 ? (bytes[index] ?? 0) : ((bytes[index >> 1] ?? 0) >> (index % 2 === 0 ? 4 : 0)) & 15;
  const label = (value: number): string => value.toString(isV4 ? 10 : 16);
  const head = Array.from({ length: wholeUnits }, (_, index) => label(unitAt(index)));
  const suffix = isV4 ? "in-addr.arpa." : "ip6.arpa.";
  const nameOf = (units: readonly string[]): string => [...units.toReversed(), suffix].join(".");
  if (restBits === 0) return [nameOf(head)];
  const count = 1 << (unitBits - restBits);
  if (count > MAX_EXPANSION) return undefined;
  const first = unitAt(wholeUnits);
  return Array.from({ length: count }, (_, index) => nameOf([...head, label(first + index)]));
}

export type ParsedKey =
  | { readonly kind: "keys"; readonly keys: readonly ServerKey[] }
  | { readonly kind: "bad"; readonly reason: string };

/** Reads one key of a server block; `defaultPort` stands for port 53 where the key names no port (`-dns.port`). */
export function parseServerKey(text: string, defaultPort: number): ParsedKey {
  let rest = text;
  let scheme: Scheme = "dns";
  const match = /^([a-z0-9]+):\/\//i.exec(text);
  if (match !== null) {
    const name = (match[1] ?? "").toLowerCase();
    const known = Object.keys(SCHEMES).find((candidate) => candidate === name);
    if (known === undefined) return { kind: "bad", reason: unknownScheme(name) };
    scheme = known as Scheme;
    rest = text.slice(match[0].length);
  }
  let port = scheme === "dns" ? defaultPort : SCHEMES[scheme];
  const portMatch = /:(\d{1,5})$/.exec(rest);
  if (portMatch !== null) {
    port = Number(portMatch[1]);
    if (port > 65_535) return { kind: "bad", reason: `port ${port} of "${text}" is above 65535` };
    rest = rest.slice(0, -portMatch[0].length);
  }
  const zones = expandZone(rest === "" ? "." : rest);
  // Only a range of IPv6 has colons.
  if (zones === undefined || (rest.includes(":") && !rest.includes("/"))) {
    return { kind: "bad", reason: `"${text}" is no server key; allowed: [dns|tls|https://]ZONE[:PORT]` };
  }
  return { kind: "keys", keys: zones.map((zone) => ({ scheme, zone, port })) };
}

function unknownScheme(name: string): string {
  const allowed = Object.keys(SCHEMES)
    .map((scheme) => `${scheme}://`)
    .join(", ");
  return FOREIGN_SCHEMES.includes(name)
    ? `nodeplane does not serve ${name}://; allowed: ${allowed}`
    : `unknown scheme "${name}://"; allowed: ${allowed}`;
}
