/** Layer dns. The `nsid` plugin: tells who asks for it which server replied (RFC 5001). */
import { hostname } from "node:os";
import { corefileError } from "../../corefile/corefile-error.ts";
import { readOptions } from "../../corefile/options.ts";
import { NEXT, type PluginDefinition } from "../../plugin.ts";
import { OPTION } from "../../server/reply-edns.ts";

const MAX_BYTES = 512;

export const nsid: PluginDefinition = {
  name: "nsid",
  setup: ([directive, second]) => {
    if (directive === undefined) return [];
    if (second !== undefined) throw corefileError(second, "nsid", "allowed once in a server block");
    readOptions(directive, {});
    const bytes = Buffer.from(directive.args.length === 0 ? hostname() : directive.args.join(" "));
    if (bytes.length > MAX_BYTES) throw corefileError(directive, "nsid", `longer than ${MAX_BYTES} octets`);
    const option = { code: OPTION.NSID, bytes };
    return [
      {
        name: "nsid",
        handle: (query) => {
          const isAsked = query.message.edns?.options.some(({ code }) => code === OPTION.NSID) === true;
          if (isAsked && query.depth === 0) query.replyOptions.push(option);
          return NEXT;
        },
      },
    ];
  },
};
