/** Layer dns. The `multisocket` plugin: accepted for Corefiles that have it; the native engine has several sockets in any case. */
import { expectArgs, integerArg, readOptions } from "../../corefile/options.ts";
import type { PluginDefinition } from "../../plugin.ts";

const MAX_SOCKETS = 1_024;

export const multisocket: PluginDefinition = {
  name: "multisocket",
  setup: ([directive]) => {
    if (directive === undefined) return [];
    expectArgs(directive, 0, 1, "multisocket [N]");
    if (directive.args.length === 1) integerArg(directive, 0, 1, MAX_SOCKETS);
    readOptions(directive, {});
    return [];
  },
};
