/** Layer dns. The `view` plugin: a server block that takes only queries for which all its expressions are true. */
import { corefileError } from "../../corefile/corefile-error.ts";
import { expectArgs, readOptions } from "../../corefile/options.ts";
import type { PluginDefinition } from "../../plugin.ts";
import type { DnsQuery } from "../../query.ts";
import { compileExpression } from "./expression.ts";

export const view: PluginDefinition = {
  name: "view",
  setup: ([directive, second], context) => {
    if (directive === undefined) return [];
    if (second !== undefined) throw corefileError(second, "view", "allowed once in a server block");
    const [name = ""] = expectArgs(directive, 1, 1, "view NAME { expr EXPRESSION }");
    const conditions: ((query: DnsQuery) => boolean)[] = [];
    readOptions(directive, {
      expr: (option) => {
        const compiled = compileExpression(option.args.join(" "));
        if (compiled.kind === "bad") throw corefileError(option, "expr", compiled.reason);
        conditions.push(compiled.test);
      },
    });
    if (conditions.length === 0) throw corefileError(directive, "view", "needs at least one expr");
    context.setView(name, (query) => conditions.every((condition) => condition(query)));
    return [];
  },
};
