/** Layer dns. The `ready` plugin: `/ready` is 200 when all plugins are ready, else 503 with the names of those that are not. */
import { corefileError } from "../../corefile/corefile-error.ts";
import { expectArgs, listenArg, readOptions, wordArg } from "../../corefile/options.ts";
import type { PluginDefinition } from "../../plugin.ts";

const DEFAULT_PORT = 8181;

export const ready: PluginDefinition = {
  name: "ready",
  setup: ([directive, second], context) => {
    if (directive === undefined) return [];
    if (second !== undefined) throw corefileError(second, "ready", "allowed once in a server block");
    expectArgs(directive, 0, 1, "ready [ADDRESS]");
    let isContinuous = false;
    readOptions(directive, {
      monitor: (option) => {
        expectArgs(option, 1, 1, "monitor until-ready|continuously");
        isContinuous = wordArg(option, 0, ["until-ready", "continuously"]) === "continuously";
      },
    });
    let wasReady = false;
    const { instance } = context;
    context.serveHttp(listenArg(directive, 0, { host: "", port: DEFAULT_PORT }), "/ready", () => {
      if (instance.isStopping()) return { status: 503, body: "Shutting down" };
      const missing = wasReady && !isContinuous ? [] : instance.notReady();
      if (missing.length > 0) return { status: 503, body: missing.join(",") };
      wasReady = true;
      return { status: 200, body: "OK" };
    });
    return [];
  },
};
