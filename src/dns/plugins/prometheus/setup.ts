/** Layer dns. The `prometheus` plugin: metrics of queries, and the page that shows all metrics. */
import { corefileError } from "../../corefile/corefile-error.ts";
import { expectArgs, listenArg, readOptions, refuseOption } from "../../corefile/options.ts";
import type { PluginDefinition, SetupContext } from "../../plugin.ts";
import { formatListener } from "../../server/block.ts";
import { QueryMetrics } from "./query-metrics.ts";

const DEFAULT_ADDRESS = { host: "localhost", port: 9153 };

export const prometheus: PluginDefinition = {
  name: "prometheus",
  setup: ([directive, second], context) => {
    if (directive === undefined) return [];
    if (second !== undefined) throw corefileError(second, "prometheus", "allowed once in a server block");
    expectArgs(directive, 0, 1, "prometheus [ADDRESS]");
    readOptions(directive, {
      runtime_metrics: (option) => void expectArgs(option, 0, 0, "runtime_metrics"),
      tls: refuseOption("metrics over TLS are not supported; put a proxy before them"),
    });
    const { metrics, version } = context.runtime;
    metrics.addProcessMetrics();
    metrics
      .gauge("coredns_build_info", "1, with the version of the server.", ["version", "revision", "goversion"])
      .child(`nodeplane-${version}`, "", "").value = 1;
    markEnabled(context);
    const queries = new QueryMetrics(metrics);
    context.observe((query, seen) => queries.observe(query, seen));
    context.serveHttp(listenArg(directive, 0, DEFAULT_ADDRESS), "/metrics", async () => ({
      status: 200,
      body: await metrics.text(),
      contentType: metrics.registry.contentType,
    }));
    return [];
  },
};

function markEnabled(context: SetupContext): void {
  const enabled = context.runtime.metrics.gauge(
    "coredns_plugin_enabled",
    "1 for each plugin of a server block.",
    ["server", "zone", "view", "name"],
  );
  for (const { scheme, port, zone } of context.keys) {
    for (const { name } of context.block.directives) {
      enabled.child(formatListener({ scheme, host: "", port }), zone, "", name).value = 1;
    }
  }
}
