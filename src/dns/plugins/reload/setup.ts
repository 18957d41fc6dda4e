/** Layer dns. The `reload` plugin: looks for changes of the Corefile and its imports now and then. SIGHUP does so at once. */
import { corefileError } from "../../corefile/corefile-error.ts";
import { durationArg, expectArgs, readOptions } from "../../corefile/options.ts";
import type { PluginDefinition } from "../../plugin.ts";

const DEFAULT_INTERVAL_MS = 30_000;
const DEFAULT_JITTER_MS = 15_000;
const MIN_INTERVAL_MS = 2_000;
const MIN_JITTER_MS = 1_000;

export const reload: PluginDefinition = {
  name: "reload",
  setup: ([directive], context) => {
    if (directive === undefined) return [];
    expectArgs(directive, 0, 2, "reload [INTERVAL] [JITTER]");
    readOptions(directive, {});
    const intervalMs = directive.args.length > 0 ? durationArg(directive, 0) : DEFAULT_INTERVAL_MS;
    if (intervalMs === 0) return [];
    if (intervalMs < MIN_INTERVAL_MS) {
      throw corefileError(directive, "reload", "the interval is at least 2s, or 0s for never");
    }
    const jitterMs =
      directive.args.length > 1
        ? durationArg(directive, 1, MIN_JITTER_MS)
        : Math.min(DEFAULT_JITTER_MS, intervalMs / 2);
    if (jitterMs > intervalMs / 2) {
      throw corefileError(directive, "reload", "the jitter is at most half the interval");
    }
    context.instance.reload = { intervalMs, jitterMs };
    context.runtime.metrics.counter("coredns_reload_failed_total", "Reloads that were refused.").child();
    return [];
  },
};
