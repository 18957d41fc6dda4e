/** Layer dns. `rewrite name`: another name for the question, and the asked one back in the answer. */
import type { DnsMessage } from "../../../codec/dns/message.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import type { Directive } from "../../corefile/parser.ts";
import { type NameChange, nameChangeArg, takeKind } from "./name-match.ts";
import { type Applied, type Rule, renameRecords } from "./rewrite.ts";

/** `name [KIND] FROM TO [answer (auto | name auto | name F T | value F T)]…`, `answer` only needed the first time. */
export function nameRule(directive: Directive, words: string[]): Rule["apply"] {
  const kind = takeKind(words);
  const [from, to] = [words.shift(), words.shift()];
  const rename = nameChangeArg(directive, kind, from, to);
  const { isAuto, answers } = answerRules(directive, words);
  // A suffix is put back wherever it stands; for the other kinds the name itself, and what is below it.
  const suffixBack = kind === "suffix" && isAuto ? nameChangeArg(directive, "suffix", to, from) : undefined;
  return ({ question }): Applied | undefined => {
    const name = rename(question.name);
    if (name === undefined) return undefined;
    const back = suffixBack ?? (isAuto || kind === "exact" ? remap(name, question.name) : undefined);
    const onAnswer = (message: DnsMessage): DnsMessage => {
      const restored =
        back === undefined ? message : renameRecords(renameRecords(message, back, false), back, true);
      return answers.reduce((value, answer) => answer(value), restored);
    };
    return { question: { ...question, name }, onAnswer };
  };
}

function answerRules(
  directive: Directive,
  words: string[],
): { readonly isAuto: boolean; readonly answers: readonly ((message: DnsMessage) => DnsMessage)[] } {
  let isAuto = false;
  let isFirst = true;
  const answers: ((message: DnsMessage) => DnsMessage)[] = [];
  while (words.length > 0) {
    if (words[0] === "answer") words.shift();
    else if (isFirst) throw corefileError(directive, "rewrite", `unexpected "${words[0]}"; allowed: answer`);
    isFirst = false;
    const what = words.shift();
    if (what === "auto") isAuto = true;
    else if (what === "name" && words[0] === "auto") isAuto = words.shift() !== undefined;
    else if (what === "name" || what === "value") {
      const back = nameChangeArg(directive, "regex", words.shift(), words.shift());
      answers.push((message) => renameRecords(message, back, what === "value"));
    } else {
      throw corefileError(
        directive,
        "rewrite",
        `answer "${what ?? ""}" is not allowed; allowed: auto, name, value`,
      );
    }
  }
  return { isAuto, answers };
}

/** The rewritten name and names below it, with the asked name in its place. */
function remap(rewritten: string, asked: string): NameChange {
  const lower = rewritten.toLowerCase();
  return (name) => {
    const own = name.toLowerCase();
    if (own === lower) return asked;
    return own.endsWith(`.${lower}`) ? name.slice(0, name.length - lower.length) + asked : undefined;
  };
}
