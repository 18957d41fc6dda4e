/** Layer dns. The `log` plugin: a line on standard output for each query, as CoreDNS writes it. */
import { RCODE } from "../../../codec/dns/constants.ts";
import type { DnsMessage } from "../../../codec/dns/message.ts";
import { isWithin } from "../../../codec/dns/name.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import { expectArgs, readOptions } from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import { expandZone } from "../../corefile/zones.ts";
import type { Observation, PluginDefinition } from "../../plugin.ts";
import type { DnsQuery } from "../../query.ts";
import { COMMON, compileFormat, placeholderNames } from "./log-format.ts";

const CLASSES = ["success", "denial", "error", "all"] as const;
type LogClass = (typeof CLASSES)[number];

interface Rule {
  readonly zones: readonly string[];
  readonly classes: ReadonlySet<LogClass>;
  readonly write: (query: DnsQuery, seen: Observation) => string;
}

export const log: PluginDefinition = {
  name: "log",
  setup: (directives, context) => {
    const rules = directives.map(parseRule);
    context.observe((query, seen) => {
      const rule = rules.find(({ zones }) => zones.some((zone) => isWithin(query.lowerName, zone)));
      if (rule === undefined) return;
      const { classes } = rule;
      if (!classes.has("all") && !classes.has(classOf(seen.message))) return;
      context.runtime.log.line(`[INFO] ${rule.write(query, seen)}`);
    });
    return [];
  },
};

/** `log [NAME…] [FORMAT]`: a format is the argument that holds a placeholder. */
function parseRule(directive: Directive): Rule {
  const last = directive.args.at(-1) ?? "";
  const format = last.includes("{") ? last : undefined;
  const names = format === undefined ? directive.args : directive.args.slice(0, -1);
  const zones = names.flatMap((text) => {
    const expanded = expandZone(text);
    if (expanded === undefined) throw corefileError(directive, "log", `"${text}" is no name`);
    return expanded;
  });
  const classes = new Set<LogClass>();
  readOptions(directive, {
    class: (option) => {
      expectArgs(option, 1, CLASSES.length, `class ${CLASSES.join("|")}…`);
      for (const text of option.args) {
        const found = CLASSES.find((name) => name === text);
        if (found === undefined) {
          throw corefileError(option, "class", `"${text}" is not allowed; allowed: ${CLASSES.join(", ")}`);
        }
        classes.add(found);
      }
    },
  });
  const compiled = compileFormat(format ?? COMMON);
  if (compiled.kind === "unknown") {
    throw corefileError(
      directive,
      "log",
      `unknown placeholder ${compiled.placeholder}; allowed: ${placeholderNames().join(" ")} {/label} {common} {combined}`,
    );
  }
  return {
    zones: zones.length === 0 ? ["."] : zones,
    classes: classes.size === 0 ? new Set<LogClass>(["all"]) : classes,
    write: compiled.write,
  };
}

function classOf(message: DnsMessage | undefined): LogClass {
  if (message === undefined) return "error";
  if (message.rcode === RCODE.NXDOMAIN) return "denial";
  if (message.rcode !== RCODE.NOERROR) return "error";
  return message.answers.length > 0 ? "success" : "denial";
}
