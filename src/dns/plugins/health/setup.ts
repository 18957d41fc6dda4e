/** Layer dns. The `health` plugin: `/health` says OK as long as the process runs, also while it drains. */
import { corefileError } from "../../corefile/corefile-error.ts";
import { durationArg, expectArgs, listenArg, readOptions } from "../../corefile/options.ts";
import type { PluginDefinition } from "../../plugin.ts";
import { checkSelf } from "./self-check.ts";

const DEFAULT_PORT = 8080;

export const health: PluginDefinition = {
  name: "health",
  setup: ([directive, second], context) => {
    if (directive === undefined) return [];
    if (second !== undefined) throw corefileError(second, "health", "allowed once in a server block");
    expectArgs(directive, 0, 1, "health [ADDRESS]");
    const address = listenArg(directive, 0, { host: "", port: DEFAULT_PORT });
    readOptions(directive, {
      lameduck: (option) => {
        expectArgs(option, 1, 1, "lameduck DURATION");
        const { instance } = context;
        instance.lameduckMs = Math.max(instance.lameduckMs, durationArg(option, 0));
      },
    });
    context.onStart((signal) => checkSelf(address, context.runtime.metrics, signal));
    context.serveHttp(address, "/health", () => ({ status: 200, body: "OK" }));
    return [];
  },
};
