/** Layer dns. The `debug` plugin: accepted for Corefiles that have it; a crash of a plugin costs one query and is logged in any case. */
import { expectArgs, readOptions } from "../../corefile/options.ts";
import type { PluginDefinition } from "../../plugin.ts";

export const debug: PluginDefinition = {
  name: "debug",
  setup: ([directive]) => {
    if (directive === undefined) return [];
    expectArgs(directive, 0, 0, "debug");
    readOptions(directive, {});
    return [];
  },
};
