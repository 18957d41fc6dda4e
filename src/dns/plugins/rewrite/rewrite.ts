/**
 * Layer dns. The `rewrite` plugin: changes questions before the other plugins see them, and answers on their way back, so
 * that the client finds the names that it asked for.
 */
import type {
  DnsMessage,
  EdnsOption,
  Question,
  RecordData,
  ResourceRecord,
} from "../../../codec/dns/message.ts";
import { type Outcome, type Plugin, type Rest, whenDone } from "../../plugin.ts";
import type { DnsQuery } from "../../query.ts";
import type { NameChange } from "./name-match.ts";

export type AnswerChange = (message: DnsMessage) => DnsMessage | Promise<DnsMessage>;

/** What a rule does when it fits: another question, other options for upstreams, a change of the answer. */
export interface Applied {
  readonly question?: Question;
  readonly upstreamOptions?: readonly EdnsOption[];
  readonly onAnswer?: AnswerChange;
}

/** A query as the rules before have left it. */
export interface Rewritten {
  readonly query: DnsQuery;
  readonly question: Question;
  readonly upstreamOptions: readonly EdnsOption[];
}

export interface Rule {
  /** The first rule that fits and stops ends the list. */
  readonly stops: boolean;
  /** `undefined` when the rule does not fit. */
  readonly apply: (rewritten: Rewritten) => Applied | undefined;
}

export class RewritePlugin implements Plugin {
  readonly name = "rewrite";
  readonly #rules: readonly Rule[];

  constructor(rules: readonly Rule[]) {
    this.#rules = rules;
  }

  handle(query: DnsQuery, rest: Rest): Outcome | Promise<Outcome> {
    const start: Question = { name: query.name, type: query.type, class: query.class };
    let now: Rewritten = { query, question: start, upstreamOptions: query.upstreamOptions };
    const changes: AnswerChange[] = [];
    for (const rule of this.#rules) {
      const applied = rule.apply(now);
      if (applied === undefined) continue;
      const { question = now.question, upstreamOptions = now.upstreamOptions } = applied;
      now = { query, question, upstreamOptions };
      if (applied.onAnswer !== undefined) changes.push(applied.onAnswer);
      if (rule.stops) break;
    }
    const { question, upstreamOptions } = now;
    const isChanged = question !== start || upstreamOptions !== query.upstreamOptions;
    if (!isChanged && changes.length === 0) return rest(query);
    // The last change of the question is the first to be undone.
    changes.reverse();
    const asked = isChanged ? query.with({ question }) : query;
    if (isChanged) asked.upstreamOptions = upstreamOptions;
    return whenDone<Outcome>(rest(asked), (outcome) =>
      outcome.kind === "answer" ? changed(outcome, changes) : outcome,
    );
  }
}

function changed(
  outcome: Extract<Outcome, { readonly kind: "answer" }>,
  changes: readonly AnswerChange[],
): Outcome | Promise<Outcome> {
  let { message } = outcome;
  for (const [i, change] of changes.entries()) {
    const next = change(message);
    if (next instanceof Promise) {
      return next.then((value) => changed({ ...outcome, message: value }, changes.slice(i + 1)));
    }
    message = next;
  }
  return { ...outcome, message };
}

/** Owner names of all sections through `change`; with `inData` the names inside records instead. */
export function renameRecords(message: DnsMessage, change: NameChange, inData: boolean): DnsMessage {
  const rename = (record: ResourceRecord): ResourceRecord => {
    if (inData) return { ...record, data: renameData(record.data, change) };
    const name = change(record.name);
    return name === undefined ? record : { ...record, name };
  };
  return {
    ...message,
    answers: message.answers.map(rename),
    authorities: message.authorities.map(rename),
    additionals: message.additionals.map(rename),
  };
}

function renameData(data: RecordData, change: NameChange): RecordData {
  switch (data.kind) {
    case "name":
    case "preference":
      return { ...data, name: change(data.name) ?? data.name };
    case "srv":
      return { ...data, target: change(data.target) ?? data.target };
    case "soa":
      return { ...data, primary: change(data.primary) ?? data.primary };
    case "naptr":
      return { ...data, replacement: change(data.replacement) ?? data.replacement };
    case "address":
    case "names":
    case "texts":
    case "caa":
    case "opaque":
      return data;
  }
}
