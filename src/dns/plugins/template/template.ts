/** Layer dns. The `template` plugin: answers made of the question by regular expressions, expressions and templates. */
import { formatClass, formatType, RCODE, TYPE } from "../../../codec/dns/constants.ts";
import type { ResourceRecord } from "../../../codec/dns/message.ts";
import { isWithin, longestZone } from "../../../codec/dns/name.ts";
import { parseRecordLine } from "../../../codec/dns/zone-file.ts";
import { ExpressionError, type Value } from "../../expression/values.ts";
import type { MetricSet, SeriesFamily } from "../../metrics/metric-set.ts";
import { NEXT, type Outcome, type Plugin, whenDone } from "../../plugin.ts";
import { type DnsQuery, replyTo } from "../../query.ts";
import { OPTION } from "../../server/reply-edns.ts";
import { type Data, print, TemplateError } from "./go-functions.ts";
import type { Matched, RecordTemplate, TemplateOptions } from "./options.ts";

/** Filled in, but no record. */
class RecordError extends Error {}

export class TemplatePlugin implements Plugin {
  readonly name = "template";
  readonly #options: TemplateOptions;
  readonly #metrics: TemplateMetrics;

  constructor(options: TemplateOptions, metrics: TemplateMetrics) {
    this.#options = options;
    this.#metrics = metrics;
  }

  handle(query: DnsQuery): Outcome | Promise<Outcome> {
    const { fallthrough, type, zones } = this.#options;
    const zone = longestZone(query.lowerName, zones);
    if (zone === undefined) return NEXT;
    if (this.#options.class !== undefined && this.#options.class !== query.class) return NEXT;
    if (type !== undefined && type !== query.type) return NEXT;
    try {
      const found = this.#match(query);
      if (found !== undefined) return this.#answer(query, zone, found);
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      return { kind: "failed", by: this.name, cause: error };
    }
    if (fallthrough?.some((name) => isWithin(query.lowerName, name)) === true) return NEXT;
    return { kind: "failed", by: this.name, cause: new Error("the zone fits, no pattern does") };
  }

  /** Patterns see the name in lower case. */
  #match(query: DnsQuery): { readonly match: RegExpExecArray; readonly matched: Matched } | undefined {
    for (const pattern of this.#options.patterns) {
      const match = pattern.exec(query.lowerName);
      if (match === null) continue;
      const numbered = [...match].map((text, i): [string, string] => [String(i), text ?? ""]);
      const groups = new Map([...numbered, ...Object.entries(match.groups ?? {})]);
      const matched: Matched = { query, groups, variables: new Map<string, Value>() };
      for (const { name, evaluate } of this.#options.variables)
        matched.variables.set(name, evaluate(matched));
      const fits = this.#options.conditions.every((condition) => condition(matched) === true);
      return fits ? { match, matched } : undefined;
    }
    return undefined;
  }

  #answer(
    query: DnsQuery,
    zone: string,
    found: { readonly match: RegExpExecArray; readonly matched: Matched },
  ): Outcome | Promise<Outcome> {
    const { rcode, error: extended, records } = this.#options;
    this.#metrics.match(query, zone);
    if (extended !== undefined) query.replyOptions.push(extendedError(extended));
    const data = dataOf(query, zone, found);
    const sections: Record<RecordTemplate["section"], ResourceRecord[]> = {
      answer: [],
      authority: [],
      additional: [],
    };
    for (const template of records) {
      try {
        sections[template.section].push(recordOf(query, template.fill(data)));
      } catch (error) {
        if (!(error instanceof TemplateError) && !(error instanceof RecordError)) throw error;
        this.#metrics.failure(query, zone, template, error instanceof RecordError);
        return { kind: "failed", by: this.name, cause: error };
      }
    }
    if (rcode === RCODE.SERVFAIL)
      return { kind: "answer", by: this.name, message: replyTo(query, { rcode }) };
    const { answer: answers, authority: authorities, additional: additionals } = sections;
    const parts = { rcode, authoritative: true, answers, authorities, additionals };
    return this.#chase(query, { kind: "answer", by: this.name, message: replyTo(query, parts) });
  }

  /** What an alias leads to, asked of the whole server. */
  #chase(
    query: DnsQuery,
    outcome: Extract<Outcome, { readonly kind: "answer" }>,
  ): Outcome | Promise<Outcome> {
    const alias = outcome.message.answers.find((record) => record.type === TYPE.CNAME);
    const isWanted = query.type === TYPE.A || query.type === TYPE.AAAA;
    if (!isWanted || alias?.data.kind !== "name" || outcome.message.answers.length !== 1) return outcome;
    return whenDone<Outcome>(query.resolve(query, alias.data.name, query.type), (target) =>
      target.kind === "answer"
        ? {
            ...outcome,
            message: {
              ...outcome.message,
              rcode: target.message.rcode,
              truncated: target.message.truncated,
              answers: [alias, ...target.message.answers],
            },
          }
        : outcome,
    );
  }
}

function recordOf(query: DnsQuery, line: string): ResourceRecord {
  const record = parseRecordLine(line, { origin: ".", defaultTtl: 3600 });
  if (record === undefined) throw new RecordError(`no record: ${line}`);
  // Templates see the name in lower case; its owner is spelled as it was asked.
  return record.name.toLowerCase() === query.lowerName ? { ...record, name: query.name } : record;
}

/** RFC 8914. */
function extendedError({ code, reason }: { readonly code: number; readonly reason: string }) {
  const bytes = Buffer.alloc(2 + Buffer.byteLength(reason));
  bytes.writeUInt16BE(code);
  bytes.write(reason, 2);
  return { code: OPTION.EDE, bytes };
}

function dataOf(
  query: DnsQuery,
  zone: string,
  { match, matched }: { readonly match: RegExpExecArray; readonly matched: Matched },
): ReadonlyMap<string, Data> {
  const question = new Map<string, Data>([
    ["Name", query.lowerName],
    ["Qtype", query.type],
    ["Qclass", query.class],
  ]);
  const { id, opcode, recursionDesired, checkingDisabled, authenticData } = query.message;
  const message = new Map<string, Data>([
    ["Id", id],
    ["Opcode", opcode],
    ["RecursionDesired", recursionDesired],
    ["CheckingDisabled", checkingDisabled],
    ["AuthenticatedData", authenticData],
    ["Question", [question]],
  ]);
  const variables = new Map([...matched.variables].map(([name, value]): [string, Data] => [name, value]));
  return new Map<string, Data>([
    ["Zone", zone],
    ["Name", query.lowerName],
    ["Class", formatClass(query.class)],
    ["Type", formatType(query.type)],
    ["Regex", ""],
    ["Match", [...match].map((text) => text ?? "")],
    ["Group", matched.groups],
    ["Message", message],
    ["Question", question],
    ["Remote", query.client.address],
    ["Var", variables],
    ["Meta", ([label = ""]) => query.metadata?.get(print(label)) ?? ""],
  ]);
}

/** Under CoreDNS's names. */
export class TemplateMetrics {
  readonly #matches: SeriesFamily;
  readonly #templateFailures: SeriesFamily;
  readonly #recordFailures: SeriesFamily;

  constructor(metrics: MetricSet) {
    const scope = ["server", "zone", "view", "class", "type"];
    const failed = [...scope, "section", "template"];
    this.#matches = metrics.counter(
      "coredns_template_matches_total",
      "Queries that a template answered.",
      scope,
    );
    this.#templateFailures = metrics.counter(
      "coredns_template_template_failures_total",
      "Templates that could not be filled in.",
      failed,
    );
    this.#recordFailures = metrics.counter(
      "coredns_template_rr_failures_total",
      "Texts that were no record.",
      failed,
    );
  }

  match(query: DnsQuery, zone: string): void {
    this.#matches.child(...labels(query, zone)).add();
  }

  failure(query: DnsQuery, zone: string, template: RecordTemplate, isRecord: boolean): void {
    const family = isRecord ? this.#recordFailures : this.#templateFailures;
    family.child(...labels(query, zone), template.section, template.text).add();
  }
}

function labels(query: DnsQuery, zone: string): readonly string[] {
  const { server, view } = query.labels;
  return [server, zone, view, formatClass(query.class), formatType(query.type)];
}
