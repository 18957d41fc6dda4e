/** Layer dns. The `minimal` plugin: answers without authority and additional section, where that loses nothing. */
import { RCODE } from "../../../codec/dns/constants.ts";
import { expectArgs, readOptions } from "../../corefile/options.ts";
import { type PluginDefinition, whenDone } from "../../plugin.ts";

export const minimal: PluginDefinition = {
  name: "minimal",
  setup: ([directive]) => {
    if (directive === undefined) return [];
    expectArgs(directive, 0, 0, "minimal");
    readOptions(directive, {});
    return [
      {
        name: "minimal",
        handle: (query, rest) =>
          whenDone(rest(query), (outcome) => {
            if (outcome.kind !== "answer") return outcome;
            const { message } = outcome;
            // Negative answers need their SOA, referrals their NS.
            const isNegative = message.answers.length === 0 && message.authorities.length > 0;
            if (message.rcode !== RCODE.NOERROR || isNegative) return outcome;
            return { ...outcome, message: { ...message, authorities: [], additionals: [] } };
          }),
      },
    ];
  },
};
