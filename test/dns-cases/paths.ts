/**
 * Both ways a resolver answers over UDP: the native engine, where it can, and the plugin chain. The engine's counter says who
 * did; the two answers must be equal.
 */
import { formatRcode, TYPE } from "../../src/codec/dns/constants.ts";
import type { DnsMessage, EdnsOption, ResourceRecord } from "../../src/codec/dns/message.ts";
import { formatData } from "../../src/codec/dns/text.ts";
import type { DnsCase } from "./case-file.ts";
import type { ResolverProcess } from "./resolver-process.ts";

export type Path = "engine" | "chain" | "both";

/** How many queries the engine has answered itself so far. */
export async function engineAnswers(resolver: ResolverProcess): Promise<number> {
  for (const address of resolver.http) {
    const reply = await fetch(`http://${address}/metrics`).catch(() => undefined);
    const match = /^nodeplane_dns_engine_answers_total (\d+)$/m.exec((await reply?.text()) ?? "");
    if (match !== null) return Number(match[1]);
  }
  throw new Error("the resolver shows no counter of its native engine: is the addon built?");
}

const KEEPALIVE = 11;
const ENGINE_TYPES: readonly string[] = ["A", "AAAA", "SRV", "PTR", "CNAME"];

/**
 * True for questions that the engine has to answer itself, the first time too: of the cluster's zones, without other plugins,
 * complete data. A name of the server itself, an alias that leads out of the cluster, a reply that does not fit, pods that are
 * looked up and inner nodes of the reverse tree belong to the chain.
 */
export function belongsToEngine({
  opts = {},
  qtype,
  qname,
  rcode,
  answer = [],
  flags = {},
}: DnsCase): boolean {
  const zones = opts.zones ?? ["cluster.local", "in-addr.arpa", "ip6.arpa"];
  const name = qname.toLowerCase();
  const isInside = zones.some((zone) => name.endsWith(`${zone.replace(/\.$/, "")}.`) || name.endsWith(zone));
  const isPlain = opts.plugins === undefined && opts.upstream === undefined && opts.synced !== false;
  const isQuery = opts.query === undefined && (opts.edns?.version ?? 0) === 0 && opts.transport !== "tcp";
  const isWhole = flags.tc !== true;
  if (!isInside || !isPlain || !isQuery || !isWhole || !ENGINE_TYPES.includes(qtype)) return false;
  if (rcode !== "NOERROR" && rcode !== "NXDOMAIN") return false;
  if (/(^|\.)dns\.[^.]+\.[^.]+\.?$/.test(name) || (name.includes(".pod.") && opts.pods === "verified"))
    return false;
  if (name.endsWith(".in-addr.arpa.") && name.split(".").length < 7) return false;
  return !answer.some((record) => JSON.stringify(record).includes("CNAME")) || qtype === "CNAME";
}

/** How two answers to one question differ; order of records apart. */
export function compareReplies(chain: DnsMessage, engine: DnsMessage): readonly string[] {
  const [left, right] = [describe(chain), describe(engine)];
  return left
    .map((text, i) => (text === right[i] ? "" : `chain: ${text} | engine: ${right[i]}`))
    .filter((text) => text !== "");
}

/** Keepalive is said over TCP only, where the chain is asked. */
function commonOptions({ options }: NonNullable<DnsMessage["edns"]>): readonly EdnsOption[] {
  return options.filter(({ code }) => code !== KEEPALIVE);
}

function describe(message: DnsMessage): readonly string[] {
  const records = (list: readonly ResourceRecord[]): string =>
    list
      .map(({ name, type, ttl, data }) => `${name} ${ttl} ${type} ${formatData(data)}`)
      .sort()
      .join("; ");
  const { isResponse, opcode, authoritative, truncated, authenticData, checkingDisabled } = message;
  const { recursionDesired, recursionAvailable } = message;
  const aliases = message.answers.findLastIndex((record) => record.type === TYPE.CNAME);
  return [
    formatRcode(message.rcode),
    JSON.stringify({ isResponse, opcode, authoritative, truncated, authenticData, checkingDisabled }),
    JSON.stringify({ recursionDesired, recursionAvailable, aliases }),
    JSON.stringify(message.questions),
    JSON.stringify(
      message.edns === undefined ? null : { ...message.edns, options: commonOptions(message.edns) },
    ),
    records(message.answers),
    records(message.authorities),
    records(message.additionals),
  ];
}
