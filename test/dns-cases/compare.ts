/** What a case expects against what came: a list of differences, empty when they agree. */
import { formatRcode, formatType, TYPE } from "../../src/codec/dns/constants.ts";
import type { DnsMessage, ResourceRecord } from "../../src/codec/dns/message.ts";
import { formatData } from "../../src/codec/dns/text.ts";
import type { CaseRecord, DnsCase } from "./case-file.ts";
import type { Seen, Transport } from "./client.ts";
import { DEFAULT_ZONES } from "./corefile.ts";

export function differences(entry: DnsCase, transport: Transport, seen: Seen | undefined): readonly string[] {
  if (entry.rcode === "NONE") return seen === undefined ? [] : ["expected no reply, seen one"];
  const first = seen?.messages[0];
  if (seen === undefined || first === undefined) return [`expected ${entry.rcode}, seen no reply`];
  const found: string[] = [];
  const rcode = formatRcode(first.rcode);
  if (rcode !== entry.rcode) found.push(`rcode: expected ${entry.rcode}, seen ${rcode}`);
  const answers = seen.messages.flatMap((message) => message.answers);
  if (entry.answer !== undefined) found.push(...section("answer", entry, entry.answer, answers));
  if (entry.authority !== undefined && !first.truncated) {
    found.push(...section("authority", entry, entry.authority, first.authorities));
  }
  if (entry.additional !== undefined && !first.truncated) {
    found.push(...section("additional", entry, entry.additional, first.additionals));
  }
  if (entry.qtype === "AXFR" && answers.length > 0) {
    const isFramed = answers[0]?.type === TYPE.SOA && answers.at(-1)?.type === TYPE.SOA;
    if (!isFramed) found.push("a transfer must begin and end with SOA");
  } else found.push(...aliasOrder(entry, answers));
  found.push(...flags(entry, first));
  if (entry.max_size !== undefined && transport === "udp" && seen.bytes > entry.max_size) {
    found.push(`size: expected at most ${entry.max_size}, seen ${seen.bytes}`);
  }
  return found;
}

/** Records as sorted texts; owners equal to the question keep their spelling, all else compares in lower case. */
function section(
  title: string,
  entry: DnsCase,
  expected: readonly CaseRecord[],
  seen: readonly ResourceRecord[],
): readonly string[] {
  const want = expected.map((record) => wanted(entry, record)).sort();
  const have = seen.map((record) => had(entry, record)).sort();
  // A serial may be anything: where the case has a star, ours is hidden too.
  const hasStar = want.some((text) => / SOA .* \* /.test(text));
  const compared = hasStar ? have.map(hideSerial).sort() : have;
  const missing = without(want, compared);
  const extra = without(compared, want);
  const isSubset = entry.match === "subset" && title === "answer";
  return [
    ...(isSubset ? [] : missing.map((text) => `${title}: expected ${text}`)),
    ...(isSubset && compared.length === 0
      ? [`${title}: expected some of ${want.length} records, seen none`]
      : []),
    ...extra.map((text) => `${title}: not expected ${text}`),
  ];
}

/** Elements of `left` that are not in `right`, as multisets. */
function without(left: readonly string[], right: readonly string[]): readonly string[] {
  const rest = [...right];
  return left.filter((text) => {
    const at = rest.indexOf(text);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}

function hideSerial(text: string): string {
  return text.replace(/( SOA \S+ \S+) \d+ /, "$1 * ");
}

function owner(entry: DnsCase, name: string): string {
  return name.toLowerCase() === entry.qname.toLowerCase() ? name : name.toLowerCase();
}

function wanted(entry: DnsCase, record: CaseRecord): string {
  const data = record.type === "TXT" ? record.data : record.data.toLowerCase();
  return `${owner(entry, record.name)} ${record.ttl ?? "-"} ${record.type} ${data}`;
}

function had(entry: DnsCase, record: ResourceRecord): string {
  const { data } = record;
  const text =
    record.type === TYPE.TXT && data.kind === "texts" ? data.texts.join("") : formatData(data).toLowerCase();
  return `${owner(entry, record.name)} ${record.ttl} ${formatType(record.type)} ${text}`;
}

/** CNAMEs come first and each names the owner of what follows. */
function aliasOrder(entry: DnsCase, answers: readonly ResourceRecord[]): readonly string[] {
  let name = entry.qname.toLowerCase();
  let isAlias = true;
  for (const record of answers) {
    const isCname = record.type === TYPE.CNAME;
    if (isCname && !isAlias) return ["answer: a CNAME stands behind other records"];
    isAlias = isCname;
    if (entry.qtype === "CNAME") continue;
    if (record.name.toLowerCase() !== name)
      return [`answer: ${record.name} is not what the question leads to`];
    if (isCname && record.data.kind === "name") name = record.data.name.toLowerCase();
  }
  return [];
}

function flags(entry: DnsCase, message: DnsMessage): readonly string[] {
  const expected = { qr: true, tc: false, ...(isAuthoritative(entry) ? { aa: true } : {}), ...entry.flags };
  const seen: Readonly<Record<string, boolean>> = {
    qr: message.isResponse,
    aa: message.authoritative,
    tc: message.truncated,
    rd: message.recursionDesired,
    ra: message.recursionAvailable,
    ad: message.authenticData,
    cd: message.checkingDisabled,
    opt: message.edns !== undefined,
    do: message.edns?.dnssecOk ?? false,
  };
  const found: string[] = [];
  for (const [flag, value] of Object.entries(expected)) {
    if (flag === "echoed_options") {
      const codes = (message.edns?.options ?? []).map((option) => option.code);
      if (JSON.stringify(codes) !== JSON.stringify(value)) {
        found.push(`options: expected ${JSON.stringify(value)}, seen ${JSON.stringify(codes)}`);
      }
    } else if (seen[flag] !== value) {
      found.push(`flag ${flag}: expected ${String(value)}, seen ${String(seen[flag])}`);
    }
  }
  return found;
}

/** AA is expected where the zones of the cluster answer, unless the name may have gone on to an upstream. */
function isAuthoritative(entry: DnsCase): boolean {
  if (entry.rcode !== "NOERROR" && entry.rcode !== "NXDOMAIN") return false;
  if (entry.opts?.fallthrough !== undefined && entry.opts.upstream !== undefined) return false;
  const zones = entry.opts?.zones ?? DEFAULT_ZONES;
  const name = entry.qname.toLowerCase();
  return zones.some((zone) => name === `${zone}.` || name.endsWith(`.${zone}.`));
}
