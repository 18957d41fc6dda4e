/** Layer dns. Corefile lines of the `k8s_external` plugin (CoreDNS 1.14). */
import { parseName } from "../../../codec/dns/name.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import { expectArgs, integerArg, readOptions, zoneArgs } from "../../corefile/options.ts";
import type { PluginDefinition } from "../../plugin.ts";
import { type ExternalOptions, ExternalPlugin } from "./external.ts";

const DEFAULT_TTL_SECONDS = 5;
const MAX_TTL_SECONDS = 3_600;

export const k8sExternal: PluginDefinition = {
  name: "k8s_external",
  setup: ([directive, second], context) => {
    if (directive === undefined) return [];
    if (second !== undefined) throw corefileError(second, "k8s_external", "allowed once in a server block");
    if (!context.block.directives.some(({ name }) => name === "kubernetes")) {
      throw corefileError(directive, "k8s_external", "needs a kubernetes plugin in the same server block");
    }
    const options: { -readonly [K in keyof ExternalOptions]: ExternalOptions[K] } = {
      zones: zoneArgs(directive, 0, context.zones),
      apex: "dns",
      ttlSeconds: DEFAULT_TTL_SECONDS,
      hasHeadless: false,
    };
    readOptions(directive, {
      apex: (option) => {
        expectArgs(option, 1, 1, "apex LABEL");
        const [label = ""] = option.args;
        if (parseName(label) === undefined) throw corefileError(option, "apex", `"${label}" is no label`);
        options.apex = label.toLowerCase();
      },
      ttl: (option) => {
        options.ttlSeconds = integerArg(option, 0, 0, MAX_TTL_SECONDS);
      },
      headless: (option) => {
        expectArgs(option, 0, 0, "headless");
        options.hasHeadless = true;
      },
      fallthrough: (option) => {
        options.fallthrough = zoneArgs(option, 0, ["."]);
      },
    });
    return [new ExternalPlugin(options, context)];
  },
};
