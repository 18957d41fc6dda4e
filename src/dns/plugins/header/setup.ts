/** Layer dns. The `header` plugin: sets and clears flags of queries and responses. */
import type { DnsMessage } from "../../../codec/dns/message.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import { expectArgs, wordArg } from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import { type PluginDefinition, type ReplyFlags, whenDone } from "../../plugin.ts";

const FIELDS = { aa: "authoritative", ra: "recursionAvailable", rd: "recursionDesired" } as const;
type Flags = ReplyFlags & Partial<Pick<DnsMessage, "authoritative">>;

export const header: PluginDefinition = {
  name: "header",
  setup: ([directive, second], context) => {
    if (directive === undefined) return [];
    if (second !== undefined) throw corefileError(second, "header", "allowed once in a server block");
    expectArgs(directive, 0, 0, "header { query|response set|clear FLAG… }");
    if ((directive.options ?? []).length === 0)
      throw corefileError(directive, "header", "needs at least one line: query|response set|clear FLAG…");
    const ofQueries: Record<string, boolean> = {};
    const ofResponses: Record<string, boolean> = {};
    for (const option of directive.options ?? []) readRule(option, ofQueries, ofResponses);
    const query: Flags = ofQueries;
    const { authoritative, ...forced }: Flags = ofResponses;
    // The server itself has a say in these two: whether a block forwards, and what the client wrote.
    context.setFlags(forced);
    const response = authoritative === undefined ? {} : { authoritative };
    return [
      {
        name: "header",
        handle: (asked, rest) =>
          whenDone(rest(asked.with({ message: { ...asked.message, ...query } })), (outcome) =>
            outcome.kind === "answer"
              ? { ...outcome, message: { ...outcome.message, ...response } }
              : outcome,
          ),
      },
    ];
  },
};

function readRule(
  option: Directive,
  ofQueries: Record<string, boolean>,
  ofResponses: Record<string, boolean>,
): void {
  if (option.name !== "query" && option.name !== "response") {
    throw corefileError(option, "header", `unknown option "${option.name}"; allowed: query, response`);
  }
  expectArgs(option, 2, 4, `${option.name} set|clear aa|ra|rd…`);
  const value = wordArg(option, 0, ["set", "clear"]) === "set";
  const flags = option.name === "query" ? ofQueries : ofResponses;
  for (let i = 1; i < option.args.length; i++) {
    flags[FIELDS[wordArg(option, i, ["aa", "ra", "rd"])]] = value;
  }
}
