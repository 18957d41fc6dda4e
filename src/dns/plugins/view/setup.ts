/** Layer dns. The `view` plugin: a server block that takes only queries for which all its expressions are true. */
import { corefileError } from "../../corefile/corefile-error.ts";
import { expectArgs, readOptions } from "../../corefile/options.ts";
import { compileExpression, type Language } from "../../expression/parser.ts";
import { QUERY_FUNCTIONS } from "../../expression/query-functions.ts";
import { ExpressionError, type Value } from "../../expression/values.ts";
import type { PluginDefinition } from "../../plugin.ts";
import type { DnsQuery } from "../../query.ts";
import type { DnsLog } from "../../runtime.ts";

const LANGUAGE: Language<DnsQuery> = { functions: QUERY_FUNCTIONS, variable: () => undefined };

export const view: PluginDefinition = {
  name: "view",
  setup: ([directive, second], context) => {
    if (directive === undefined) return [];
    if (second !== undefined) throw corefileError(second, "view", "allowed once in a server block");
    const [name = ""] = expectArgs(directive, 1, 1, "view NAME { expr EXPRESSION }");
    const conditions: ((query: DnsQuery) => boolean)[] = [];
    readOptions(directive, {
      expr: (option) => {
        const compiled = compileExpression<DnsQuery>(option.args.join(" "), LANGUAGE);
        if (compiled.kind === "bad") throw corefileError(option, "expr", compiled.reason);
        conditions.push(condition(compiled.evaluate, context.runtime.log));
      },
    });
    if (conditions.length === 0) throw corefileError(directive, "view", "needs at least one expr");
    context.provideMetadata((_query, label) => (label === "view/name" ? name : undefined));
    context.setView(name, (query) => conditions.every((condition) => condition(query)));
    return [];
  },
};

/** An expression that fails takes no query, as one that is not true. */
function condition(evaluate: (query: DnsQuery) => Value, log: DnsLog): (query: DnsQuery) => boolean {
  return (query) => {
    try {
      return evaluate(query) === true;
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      log.debug(`plugin/view: ${error.message}`);
      return false;
    }
  };
}
