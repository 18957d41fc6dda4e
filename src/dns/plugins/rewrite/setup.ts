/** Layer dns. Corefile lines of the `rewrite` plugin: `rewrite [continue|stop] FIELD …`, in one line or with answer rules in a block. */
import { parseClass, parseRcode, parseType } from "../../../codec/dns/constants.ts";
import type { DnsMessage, Question, ResourceRecord } from "../../../codec/dns/message.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import type { Directive } from "../../corefile/parser.ts";
import type { PluginDefinition } from "../../plugin.ts";
import { cnameRule } from "./cname-rule.ts";
import { ednsRule } from "./edns-rule.ts";
import { nameChangeArg, takeKind } from "./name-match.ts";
import { nameRule } from "./name-rule.ts";
import { RewritePlugin, type Rule } from "./rewrite.ts";

const MAX_TTL = 0x7fff_ffff;
const FIELDS = ["name", "type", "class", "ttl", "rcode", "cname", "edns0"];

export const rewrite: PluginDefinition = {
  name: "rewrite",
  setup: (directives) => [new RewritePlugin(directives.map(parseRule))],
};

type Apply = Rule["apply"];

function parseRule(directive: Directive): Rule {
  const words = [...directive.args];
  const mode = words[0] === "continue" || words[0] === "stop" ? words.shift() : "stop";
  // In a block the first line is the rule, the others its answer rules.
  const [first, ...more] = directive.options ?? [];
  if (words.length === 0 && first !== undefined) {
    words.push(first.name, ...first.args, ...more.flatMap((line) => [line.name, ...line.args]));
  } else {
    words.push(...(directive.options ?? []).flatMap((line) => [line.name, ...line.args]));
  }
  const field = words.shift() ?? "";
  return { stops: mode === "stop", apply: parseField(directive, field, words) };
}

function parseField(directive: Directive, field: string, words: string[]): Apply {
  switch (field) {
    case "name":
      return nameRule(directive, words);
    case "type":
      return codeRule(directive, words, parseType, "type");
    case "class":
      return codeRule(directive, words, parseClass, "class");
    case "ttl":
      return ttlRule(directive, words);
    case "rcode":
      return rcodeRule(directive, words);
    case "cname":
      return cnameRule(directive, words);
    case "edns0":
      return ednsRule(directive, words);
    default:
      throw corefileError(directive, "rewrite", `unknown field "${field}"; allowed: ${FIELDS.join(", ")}`);
  }
}

function codeRule(
  directive: Directive,
  words: readonly string[],
  parse: (text: string) => number | undefined,
  field: "type" | "class",
): Apply {
  const [from, to] = words.map(parse);
  if (words.length !== 2 || from === undefined || to === undefined) {
    throw corefileError(directive, "rewrite", `the form is: rewrite ${field} FROM TO`);
  }
  return ({ question }) =>
    question[field] === from ? { question: { ...question, [field]: to } } : undefined;
}

/** Fits a name without changing it. */
function fits(directive: Directive, words: string[]): (question: Question) => boolean {
  const kind = takeKind(words);
  const rename = nameChangeArg(directive, kind, words.shift(), kind === "regex" ? "x" : "x.");
  return (question) => rename(question.name) !== undefined;
}

/** `ttl [KIND] NAME SECONDS|MIN-MAX|MIN-|-MAX`. */
function ttlRule(directive: Directive, words: string[]): Apply {
  const isOurs = fits(directive, words);
  const match = /^(?:(\d+)|(\d*)-(\d*))$/.exec(words.shift() ?? "");
  const bounds = match === null ? undefined : ttlBounds(match);
  if (bounds === undefined || words.length > 0) {
    throw corefileError(directive, "rewrite", "the form is: rewrite ttl [KIND] NAME SECONDS|MIN-MAX");
  }
  const limit = (record: ResourceRecord): ResourceRecord => ({
    ...record,
    ttl: Math.min(bounds.maximum, Math.max(bounds.minimum, record.ttl)),
  });
  const onAnswer = (message: DnsMessage): DnsMessage => ({
    ...message,
    answers: message.answers.map(limit),
    authorities: message.authorities.map(limit),
    additionals: message.additionals.map(limit),
  });
  return ({ question }) => (isOurs(question) ? { onAnswer } : undefined);
}

function ttlBounds(
  match: RegExpExecArray,
): { readonly minimum: number; readonly maximum: number } | undefined {
  const [, fixed, low, high] = match;
  const minimum = Number(fixed ?? (low || 0));
  const maximum = Number(fixed ?? (high || MAX_TTL));
  return minimum <= maximum && maximum <= MAX_TTL ? { minimum, maximum } : undefined;
}

/** `rcode [KIND] NAME FROM TO`. */
function rcodeRule(directive: Directive, words: string[]): Apply {
  const isOurs = fits(directive, words);
  const [from, to] = words.map(parseRcode);
  if (words.length !== 2 || from === undefined || to === undefined) {
    throw corefileError(directive, "rewrite", "the form is: rewrite rcode [KIND] NAME FROM TO");
  }
  const onAnswer = (message: DnsMessage): DnsMessage =>
    message.rcode === from ? { ...message, rcode: to } : message;
  return ({ question }) => (isOurs(question) ? { onAnswer } : undefined);
}
