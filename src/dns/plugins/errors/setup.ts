/** Layer dns. Corefile lines of the `errors` plugin. */
import { corefileError } from "../../corefile/corefile-error.ts";
import { patternArg } from "../../corefile/go-pattern.ts";
import { durationArg, expectArgs, readOptions, wordArg } from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import type { PluginDefinition } from "../../plugin.ts";
import { type Consolidation, ErrorLog } from "./errors.ts";

const LEVELS = ["error", "warning", "info", "debug"] as const;

export const errors: PluginDefinition = {
  name: "errors",
  setup: (directives, context) => {
    for (const directive of directives) {
      if (directive.args.length > 1 || (directive.args[0] ?? "stdout") !== "stdout") {
        throw corefileError(directive, "errors", "takes no argument but stdout");
      }
      const rules: Consolidation[] = [];
      let withStack = false;
      readOptions(directive, {
        stacktrace: (option) => {
          expectArgs(option, 0, 0, "stacktrace");
          withStack = true;
        },
        consolidate: (option) => void rules.push(parseRule(option)),
      });
      const log = new ErrorLog(context.runtime.log, rules, withStack);
      context.observe((query, seen) => log.observe(query, seen));
      context.onStart((signal) => log.start(signal));
    }
    return [];
  },
};

function parseRule(option: Directive): Consolidation {
  expectArgs(option, 2, 4, "consolidate DURATION REGEXP [LEVEL] [show_first]");
  const showFirst = option.args.length > 2 && option.args.at(-1) === "show_first";
  const levelIndex = option.args.length - (showFirst ? 1 : 0) > 2 ? 2 : undefined;
  return {
    periodMs: durationArg(option, 0, 1),
    pattern: patternArg(option, option.args[1] ?? ""),
    level: levelIndex === undefined ? "error" : wordArg(option, levelIndex, LEVELS),
    showFirst,
  };
}
