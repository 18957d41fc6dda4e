/** Layer dns. The `any` plugin: ANY gets one HINFO record (RFC 8482). */
import { TYPE } from "../../../codec/dns/constants.ts";
import { expectArgs, readOptions } from "../../corefile/options.ts";
import { NEXT, type PluginDefinition } from "../../plugin.ts";
import { record, replyTo } from "../../query.ts";

const TTL_SECONDS = 8482;
const DATA = { kind: "texts", texts: ["ANY obsoleted", "See RFC 8482"] } as const;

export const any: PluginDefinition = {
  name: "any",
  setup: ([directive]) => {
    if (directive === undefined) return [];
    expectArgs(directive, 0, 0, "any");
    readOptions(directive, {});
    return [
      {
        name: "any",
        handle: (query) => {
          if (query.type !== TYPE.ANY) return NEXT;
          const answers = [record(query.name, TYPE.HINFO, TTL_SECONDS, DATA)];
          return { kind: "answer", by: "any", message: replyTo(query, { authoritative: true, answers }) };
        },
      },
    ];
  },
};
