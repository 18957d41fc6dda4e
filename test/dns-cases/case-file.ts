/**
 * Cases of names: reading and checking the file. A key that is not listed here is an error, so that no expectation is
 * passed over unseen. The format is described in docs/dns.md.
 */
import { readFileSync } from "node:fs";

export interface CaseRecord {
  readonly name: string;
  readonly type: string;
  readonly ttl?: number;
  readonly data: string;
}

export interface CaseOptions {
  readonly zones?: readonly string[];
  readonly ttl?: number;
  readonly pods?: string;
  readonly namespaces?: readonly string[];
  readonly namespace_labels?: string;
  readonly labels?: string;
  readonly noendpoints?: boolean;
  readonly ignore_empty_service?: boolean;
  readonly endpoint_pod_names?: boolean;
  readonly zonal?: boolean;
  readonly fallthrough?: readonly string[];
  readonly synced?: boolean;
  readonly localIPs?: readonly string[];
  readonly upstream?: readonly CaseRecord[];
  readonly plugins?: readonly string[];
  readonly transport?: "udp" | "tcp";
  readonly edns?: CaseEdns | null;
  readonly query?: CaseQuery;
}

export interface CaseEdns {
  readonly size?: number;
  readonly do?: boolean;
  readonly version?: number;
  readonly options?: readonly { readonly code: number; readonly hex: string }[];
}

export interface CaseQuery {
  readonly class?: string;
  readonly opcode?: string;
  readonly qdcount?: number;
  readonly qr?: boolean;
  readonly rd?: boolean;
  readonly cd?: boolean;
}

export interface CaseFlags {
  readonly qr?: boolean;
  readonly aa?: boolean;
  readonly tc?: boolean;
  readonly rd?: boolean;
  readonly ra?: boolean;
  readonly ad?: boolean;
  readonly cd?: boolean;
  readonly opt?: boolean;
  readonly do?: boolean;
  readonly echoed_options?: readonly number[];
}

export interface DnsCase {
  readonly name: string;
  readonly qname: string;
  readonly qtype: string;
  readonly opts?: CaseOptions;
  readonly rcode: string;
  readonly answer?: readonly CaseRecord[];
  readonly authority?: readonly CaseRecord[];
  readonly additional?: readonly CaseRecord[];
  readonly match?: "subset" | "exact";
  readonly flags?: CaseFlags;
  readonly max_size?: number;
}

const KEYS: Readonly<Record<string, readonly string[]>> = {
  case: "name qname qtype opts rcode answer authority additional match flags max_size alt basis note".split(
    " ",
  ),
  opts: [
    "zones ttl pods namespaces namespace_labels labels noendpoints ignore_empty_service endpoint_pod_names zonal",
    "fallthrough synced localIPs upstream plugins transport edns query",
  ]
    .join(" ")
    .split(" "),
  edns: ["size", "do", "version", "options"],
  query: ["class", "opcode", "qdcount", "qr", "rd", "cd"],
  flags: ["qr", "aa", "tc", "rd", "ra", "ad", "cd", "opt", "do", "echoed_options"],
  record: ["name", "type", "ttl", "data"],
};

/** @throws Error naming the case and the key that is not known or missing */
export function readCases(path: string): readonly DnsCase[] {
  const parsed: unknown = JSON.parse(readFileSync(path, "utf8"));
  if (!Array.isArray(parsed)) throw new Error(`${path}: expected a list of cases`);
  return parsed.map((entry: unknown, index) => checkCase(entry, `${path}[${index}]`));
}

function checkCase(entry: unknown, where: string): DnsCase {
  const fields = checkKeys(entry, "case", where);
  const name = typeof fields["name"] === "string" ? fields["name"] : where;
  for (const key of ["name", "qname", "qtype", "rcode"]) {
    if (typeof fields[key] !== "string") throw new Error(`${name}: "${key}" must be a text`);
  }
  for (const key of ["answer", "authority", "additional"]) checkRecords(fields[key], `${name}.${key}`);
  if (fields["match"] !== undefined && fields["match"] !== "subset" && fields["match"] !== "exact") {
    throw new Error(`${name}.match: allowed: subset, exact`);
  }
  if (fields["flags"] !== undefined) checkKeys(fields["flags"], "flags", `${name}.flags`);
  if (fields["opts"] !== undefined) {
    const opts = checkKeys(fields["opts"], "opts", `${name}.opts`);
    checkRecords(opts["upstream"], `${name}.opts.upstream`);
    if (opts["edns"] !== undefined && opts["edns"] !== null)
      checkKeys(opts["edns"], "edns", `${name}.opts.edns`);
    if (opts["query"] !== undefined) checkKeys(opts["query"], "query", `${name}.opts.query`);
  }
  return entry as DnsCase;
}

function checkRecords(value: unknown, where: string): void {
  if (value === undefined) return;
  if (!Array.isArray(value)) throw new Error(`${where}: expected a list of records`);
  for (const [i, entry] of value.entries()) checkKeys(entry, "record", `${where}[${i}]`);
}

function checkKeys(value: unknown, kind: string, where: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error(`${where}: expected an object`);
  }
  const allowed = KEYS[kind] ?? [];
  const unknown = Object.keys(value).filter((key) => !allowed.includes(key));
  if (unknown.length > 0) {
    throw new Error(`${where}: unknown key "${unknown.join('", "')}"; allowed: ${allowed.join(", ")}`);
  }
  return value as Readonly<Record<string, unknown>>;
}
