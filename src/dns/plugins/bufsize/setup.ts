/** Layer dns. The `bufsize` plugin: no UDP reply is larger than this, whatever the client says. */
import { expectArgs, integerArg, readOptions } from "../../corefile/options.ts";
import { NEXT, type PluginDefinition } from "../../plugin.ts";

const DEFAULT_BYTES = 1232;

export const bufsize: PluginDefinition = {
  name: "bufsize",
  setup: (directives) =>
    directives.map((directive) => {
      expectArgs(directive, 0, 1, "bufsize [SIZE]");
      readOptions(directive, {});
      const bytes = directive.args.length === 0 ? DEFAULT_BYTES : integerArg(directive, 0, 512, 4096);
      return {
        name: "bufsize",
        handle: (query) => {
          query.udpLimitBytes = Math.min(query.udpLimitBytes, bytes);
          return NEXT;
        },
      };
    }),
};
