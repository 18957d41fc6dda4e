/** Layer dns. The `template` plugin: answers made of the question by regular expressions and templates. */
import {
  CLASS,
  formatClass,
  formatType,
  parseClass,
  parseRcode,
  parseType,
  RCODE,
} from "../../../codec/dns/constants.ts";
import type { ResourceRecord } from "../../../codec/dns/message.ts";
import { isWithin, longestZone } from "../../../codec/dns/name.ts";
import { parseRecordLine } from "../../../codec/dns/zone-file.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import { expectArgs, readOptions, refuseOption, zoneArgs } from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import { NEXT, type Outcome, type Plugin, type PluginDefinition, type SetupContext } from "../../plugin.ts";
import { type DnsQuery, replyTo } from "../../query.ts";
import { parsePattern } from "../errors/setup.ts";
import { compileTemplate, type TemplateValues } from "./text-template.ts";

type Fill = (values: TemplateValues) => string;

interface Options {
  readonly class: number | undefined;
  readonly type: number | undefined;
  readonly zones: readonly string[];
  readonly patterns: RegExp[];
  readonly answers: Fill[];
  readonly authorities: Fill[];
  readonly additionals: Fill[];
  rcode: number;
  fallthrough: readonly string[] | undefined;
}

export const template: PluginDefinition = {
  name: "template",
  setup: (directives, context) =>
    directives.map((directive) => new TemplatePlugin(parseTemplate(directive, context))),
};

function parseTemplate(directive: Directive, context: SetupContext): Options {
  expectArgs(directive, 2, 1000, "template CLASS TYPE [ZONE…]");
  const [classText = "", typeText = ""] = directive.args;
  const askedClass = parseClass(classText);
  const type = parseType(typeText);
  if (askedClass === undefined) throw corefileError(directive, "template", `"${classText}" is no class`);
  if (type === undefined) throw corefileError(directive, "template", `"${typeText}" is no record type`);
  const options: Options = {
    class: askedClass === CLASS.ANY ? undefined : askedClass,
    type: typeText.toUpperCase() === "ANY" ? undefined : type,
    zones: zoneArgs(directive, 2, context.zones),
    patterns: [],
    answers: [],
    authorities: [],
    additionals: [],
    rcode: RCODE.NOERROR,
    fallthrough: undefined,
  };
  readOptions(directive, {
    match: (option) => {
      expectArgs(option, 1, 100, "match REGEX…");
      // Go writes named groups as (?P<name>…).
      for (const text of option.args)
        options.patterns.push(parsePattern(option, text.replaceAll("(?P<", "(?<")));
    },
    answer: (option) => void options.answers.push(fillOf(option)),
    authority: (option) => void options.authorities.push(fillOf(option)),
    additional: (option) => void options.additionals.push(fillOf(option)),
    rcode: (option) => {
      const rcode = parseRcode(option.args[0] ?? "");
      if (rcode === undefined)
        throw corefileError(option, "rcode", `"${option.args[0] ?? ""}" is no response code`);
      options.rcode = rcode;
    },
    fallthrough: (option) => {
      options.fallthrough = zoneArgs(option, 0, ["."]);
    },
    ederror: refuseOption("is not supported"),
    var: refuseOption("is not supported"),
    expr: refuseOption("is not supported: use view"),
  });
  if (options.patterns.length === 0) options.patterns.push(/[\s\S]*/);
  return options;
}

function fillOf(option: Directive): Fill {
  const compiled = compileTemplate(option.args.join(" "));
  if (compiled.kind === "template") return compiled.fill;
  const allowed = ".Name .Zone .Type .Class .Remote .Group.NAME (index .Match N)";
  throw corefileError(option, option.name, `${compiled.action} is not supported; allowed: ${allowed}`);
}

class TemplatePlugin implements Plugin {
  readonly name = "template";
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
  }

  handle(query: DnsQuery): Outcome {
    const { patterns, fallthrough, type, zones } = this.#options;
    const zone = longestZone(query.lowerName, zones);
    if (zone === undefined) return NEXT;
    if (this.#options.class !== undefined && this.#options.class !== query.class) return NEXT;
    if (type !== undefined && type !== query.type) return NEXT;
    for (const pattern of patterns) {
      const match = pattern.exec(query.name);
      if (match !== null) return this.#answer(query, zone, match);
    }
    if (fallthrough?.some((name) => isWithin(query.lowerName, name)) === true) return NEXT;
    return { kind: "failed", by: this.name, cause: new Error("the zone fits, no pattern does") };
  }

  #answer(query: DnsQuery, zone: string, match: RegExpExecArray): Outcome {
    const values: TemplateValues = {
      Name: query.name,
      Zone: zone,
      Type: formatType(query.type),
      Class: formatClass(query.class),
      Remote: query.client.address,
      Match: [...match],
      Group: match.groups ?? {},
    };
    const records = (fills: readonly Fill[]): readonly (ResourceRecord | string)[] =>
      fills.map((fill) => {
        const line = fill(values);
        return parseRecordLine(line, { origin: ".", defaultTtl: 3600 }) ?? line;
      });
    const sections = [this.#options.answers, this.#options.authorities, this.#options.additionals].map(
      records,
    );
    const bad = sections.flat().find((entry) => typeof entry === "string");
    if (bad !== undefined) return { kind: "failed", by: this.name, cause: new Error(`no record: ${bad}`) };
    const [answers = [], authorities = [], additionals = []] = sections.map((section) =>
      section.filter((entry) => typeof entry !== "string"),
    );
    const parts = { rcode: this.#options.rcode, authoritative: true, answers, authorities, additionals };
    return { kind: "answer", by: this.name, message: replyTo(query, parts) };
  }
}
