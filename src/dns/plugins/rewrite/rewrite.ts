/**
 * Layer dns. The `rewrite` plugin: changes questions before the other plugins see them, and answers on their way back, so
 * that the client finds the names that it asked for.
 */
import type { DnsMessage, Question, RecordData, ResourceRecord } from "../../../codec/dns/message.ts";
import { type Outcome, type Plugin, type Rest, whenDone } from "../../plugin.ts";
import type { DnsQuery } from "../../query.ts";
import type { NameChange } from "./name-match.ts";

/** What a rule does when it fits: another question, a change of the answer, or both. */
export interface Applied {
  readonly question?: Question;
  readonly onAnswer?: (message: DnsMessage) => DnsMessage;
}

export interface Rule {
  /** The first rule that fits and stops ends the list. */
  readonly stops: boolean;
  /** `undefined` when the rule does not fit. */
  readonly apply: (question: Question) => Applied | undefined;
}

export class RewritePlugin implements Plugin {
  readonly name = "rewrite";
  readonly #rules: readonly Rule[];

  constructor(rules: readonly Rule[]) {
    this.#rules = rules;
  }

  handle(query: DnsQuery, rest: Rest): Outcome | Promise<Outcome> {
    let question: Question = { name: query.name, type: query.type, class: query.class };
    const changes: ((message: DnsMessage) => DnsMessage)[] = [];
    let isChanged = false;
    for (const rule of this.#rules) {
      const applied = rule.apply(question);
      if (applied === undefined) continue;
      if (applied.question !== undefined) {
        question = applied.question;
        isChanged = true;
      }
      if (applied.onAnswer !== undefined) changes.push(applied.onAnswer);
      if (rule.stops) break;
    }
    if (!isChanged && changes.length === 0) return rest(query);
    // The last change of the question is the first to be undone.
    changes.reverse();
    return whenDone<Outcome>(rest(isChanged ? query.with({ question }) : query), (outcome) =>
      outcome.kind === "answer"
        ? { ...outcome, message: changes.reduce((message, change) => change(message), outcome.message) }
        : outcome,
    );
  }
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
      return {
        ...data,
        primary: change(data.primary) ?? data.primary,
        mailbox: change(data.mailbox) ?? data.mailbox,
      };
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
