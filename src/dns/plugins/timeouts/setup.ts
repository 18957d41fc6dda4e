/** Layer dns. The `timeouts` plugin: how long connections over TCP and TLS are waited for, and how many queries each may bring. */
import { corefileError } from "../../corefile/corefile-error.ts";
import { durationArg, expectArgs, integerArg, readOptions } from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import type { PluginDefinition } from "../../plugin.ts";
import type { TcpLimits } from "../../server/tcp-limits.ts";

const MAX_MS = 86_400_000;

type Draft = { -readonly [K in keyof TcpLimits]?: TcpLimits[K] };

export const timeouts: PluginDefinition = {
  name: "timeouts",
  setup: ([directive, second], context) => {
    if (directive === undefined) return [];
    if (second !== undefined) throw corefileError(second, "timeouts", "allowed once in a server block");
    expectArgs(directive, 0, 0, "timeouts { read|write|idle DURATION; maxtcpqueries N }");
    const limits: Draft = {};
    readOptions(directive, {
      read: (option) => {
        limits.readTimeoutMs = durationOrSeconds(option);
      },
      write: (option) => {
        limits.writeTimeoutMs = durationOrSeconds(option);
      },
      idle: (option) => {
        limits.idleTimeoutMs = durationOrSeconds(option);
      },
      maxtcpqueries: (option) => {
        const count = integerArg(option, 0, -1, 1_000_000_000);
        if (count === 0)
          throw corefileError(option, "maxtcpqueries", '"0" is not allowed; -1 (no limit) or more than 0 is');
        limits.maxQueries = Math.max(0, count);
      },
    });
    if (Object.keys(limits).length === 0)
      throw corefileError(directive, "timeouts", "needs at least one option");
    context.setTcpLimits(limits);
    return [];
  },
};

/** A number without a unit is seconds, here alone (as in CoreDNS). */
function durationOrSeconds(option: Directive): number {
  const [text = ""] = expectArgs(option, 1, 1, `${option.name} DURATION`);
  const isBare = /^[1-9]\d{0,4}$/.test(text);
  return durationArg(isBare ? { ...option, args: [`${text}s`] } : option, 0, 1, MAX_MS);
}
