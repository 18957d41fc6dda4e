/** Layer dns. `rewrite cname`: another target for an alias in the answer, and what that leads to. */
import { TYPE } from "../../../codec/dns/constants.ts";
import type { DnsMessage } from "../../../codec/dns/message.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import type { Directive } from "../../corefile/parser.ts";
import { whenDone } from "../../plugin.ts";
import type { DnsQuery } from "../../query.ts";
import { type NameChange, nameChangeArg, takeKind } from "./name-match.ts";
import type { Rule } from "./rewrite.ts";

/** `cname [KIND] FROM TO`. */
export function cnameRule(directive: Directive, words: string[]): Rule["apply"] {
  const kind = takeKind(words);
  const rename = nameChangeArg(directive, kind, words.shift(), words.shift());
  if (words.length > 0)
    throw corefileError(directive, "rewrite", "the form is: rewrite cname [KIND] FROM TO");
  return ({ query }) => ({ onAnswer: (message) => retarget(query, message, rename) });
}

/** Records before the alias stay; those behind it are replaced by what the new target has. */
function retarget(
  query: DnsQuery,
  message: DnsMessage,
  rename: NameChange,
): DnsMessage | Promise<DnsMessage> {
  for (const [i, record] of message.answers.entries()) {
    if (record.type !== TYPE.CNAME || record.data.kind !== "name") continue;
    const target = rename(record.data.name);
    if (target === undefined) continue;
    const kept = [...message.answers.slice(0, i), { ...record, data: { ...record.data, name: target } }];
    const outcome = query.resolve(query, target, query.type);
    return whenDone(outcome, (found) =>
      found.kind === "answer"
        ? { ...message, rcode: found.message.rcode, answers: [...kept, ...found.message.answers] }
        : { ...message, answers: kept },
    );
  }
  return message;
}
