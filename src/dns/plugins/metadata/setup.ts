/** Layer dns. The `metadata` plugin: lets other plugins of the block read what is known of a query. */
import { longestZone } from "../../../codec/dns/name.ts";
import { readOptions, zoneArgs } from "../../corefile/options.ts";
import type { PluginDefinition } from "../../plugin.ts";

export const metadata: PluginDefinition = {
  name: "metadata",
  setup: ([directive], context) => {
    if (directive === undefined) return [];
    readOptions(directive, {});
    const zones = zoneArgs(directive, 0, context.zones);
    context.collectMetadata((query) => longestZone(query.lowerName, zones) !== undefined);
    return [];
  },
};
