/** Layer dns. The `whoami` plugin: tells clients their own address and port. */
import { TYPE } from "../../../codec/dns/constants.ts";
import { parseIp } from "../../../model/ip.ts";
import { expectArgs, readOptions } from "../../corefile/options.ts";
import { NEXT, type PluginDefinition } from "../../plugin.ts";
import { record, replyTo } from "../../query.ts";

export const whoami: PluginDefinition = {
  name: "whoami",
  setup: ([directive]) => {
    if (directive === undefined) return [];
    expectArgs(directive, 0, 0, "whoami");
    readOptions(directive, {});
    return [
      {
        name: "whoami",
        handle: (query) => {
          const { client } = query;
          const address = parseIp(client.address.split("%")[0] ?? "");
          if (address === undefined) return NEXT;
          const type = address.includes(":") ? TYPE.AAAA : TYPE.A;
          const protocol = client.transport === "udp" ? "_udp" : "_tcp";
          const owner = query.name === "." ? `${protocol}.` : `${protocol}.${query.name}`;
          const srv = { kind: "srv", priority: 0, weight: 0, port: client.port, target: "." } as const;
          const additionals = [
            record(query.name, type, 0, { kind: "address", address }),
            record(owner, TYPE.SRV, 0, srv),
          ];
          return {
            kind: "answer",
            by: "whoami",
            message: replyTo(query, { authoritative: true, additionals }),
          };
        },
      },
    ];
  },
};
