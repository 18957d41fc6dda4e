/** Layer dns. The `chaos` plugin: TXT in class CH about the server itself (`version.bind`, `hostname.bind` …). */
import { hostname } from "node:os";
import { CLASS, TYPE } from "../../../codec/dns/constants.ts";
import { readOptions } from "../../corefile/options.ts";
import { NEXT, type PluginDefinition } from "../../plugin.ts";
import { replyTo } from "../../query.ts";

export const chaos: PluginDefinition = {
  name: "chaos",
  setup: ([directive], context) => {
    if (directive === undefined) return [];
    readOptions(directive, {});
    const [version = `nodeplane-${context.runtime.version}`, ...authors] = directive.args;
    const texts: ReadonlyMap<string, () => readonly string[]> = new Map([
      ["version.bind.", () => [version]],
      ["version.server.", () => [version]],
      ["authors.bind.", () => authors],
      ["hostname.bind.", () => [hostname()]],
      ["id.server.", () => [hostname()]],
    ]);
    return [
      {
        name: "chaos",
        handle: (query) => {
          if (query.class !== CLASS.CH || query.type !== TYPE.TXT) return NEXT;
          const found = texts.get(query.lowerName);
          if (found === undefined) return NEXT;
          const answers = found().map((text) => ({
            name: query.name,
            type: TYPE.TXT,
            class: CLASS.CH,
            ttl: 0,
            data: { kind: "texts", texts: [text.slice(0, 255)] } as const,
          }));
          return { kind: "answer", by: "chaos", message: replyTo(query, { authoritative: true, answers }) };
        },
      },
    ];
  },
};
