/** Layer dns. The `local` plugin: `localhost` and the reverse zones of 127/8, 0/8 and 255/8 stay here (RFC 6303, RFC 6761). */
import { CLASS, RCODE, TYPE } from "../../../codec/dns/constants.ts";
import type { ResourceRecord } from "../../../codec/dns/message.ts";
import { isWithin } from "../../../codec/dns/name.ts";
import { parseIp } from "../../../model/ip.ts";
import { expectArgs, readOptions, wordArg } from "../../corefile/options.ts";
import { NEXT, type Outcome, type PluginDefinition } from "../../plugin.ts";
import { type DnsQuery, type ReplyParts, record, replyTo } from "../../query.ts";

const ZONES = ["localhost.", "0.in-addr.arpa.", "127.in-addr.arpa.", "255.in-addr.arpa."];
const TTL_SECONDS = 604_800;
const V4 = parseIp("127.0.0.1");
const V6 = parseIp("::1");

export const local: PluginDefinition = {
  name: "local",
  setup: ([directive], context) => {
    if (directive === undefined) return [];
    expectArgs(directive, 0, 0, "local");
    let hasPrefix = true;
    readOptions(directive, {
      localhost_prefix: (option) => {
        expectArgs(option, 1, 1, "localhost_prefix on|off");
        hasPrefix = wordArg(option, 0, ["on", "off"]) === "on";
      },
    });
    const counter = context.runtime.metrics.counter(
      "coredns_local_localhost_requests_total",
      "Questions for localhost and localhost.DOMAIN.",
    );
    return [
      {
        name: "local",
        handle: (query) => {
          if (query.class !== CLASS.IN) return NEXT;
          const zone = ZONES.find((candidate) => isWithin(query.lowerName, candidate));
          if (query.lowerName === zone && (query.type === TYPE.SOA || query.type === TYPE.NS))
            return answer(query, { answers: [query.type === TYPE.SOA ? soa(query.name) : ns(query.name)] });
          const isHost =
            query.lowerName === "localhost." ||
            // All of them are this machine (RFC 6761 section 6.3).
            query.lowerName.endsWith(".localhost.") ||
            (hasPrefix && query.lowerName.startsWith("localhost."));
          if (isHost) {
            counter.child().value++;
            const answers = hostRecords(query);
            return answer(query, {
              answers,
              ...(answers.length > 0 ? {} : { authorities: [soa(zone ?? query.name)] }),
            });
          }
          if (zone === undefined) return NEXT;
          if (query.lowerName === "1.0.0.127.in-addr.arpa." && query.type === TYPE.PTR) {
            return answer(query, {
              answers: [record(query.name, TYPE.PTR, TTL_SECONDS, { kind: "name", name: "localhost." })],
            });
          }
          const exists = query.lowerName === zone || query.lowerName === "1.0.0.127.in-addr.arpa.";
          return answer(query, { rcode: exists ? RCODE.NOERROR : RCODE.NXDOMAIN, authorities: [soa(zone)] });
        },
      },
    ];
  },
};

function hostRecords(query: DnsQuery): readonly ResourceRecord[] {
  const address = query.type === TYPE.A ? V4 : query.type === TYPE.AAAA ? V6 : undefined;
  if (address === undefined) return [];
  return [record(query.name, query.type, TTL_SECONDS, { kind: "address", address })];
}

function ns(zone: string): ResourceRecord {
  return record(zone, TYPE.NS, TTL_SECONDS, { kind: "name", name: "localhost." });
}

function soa(zone: string): ResourceRecord {
  return record(zone, TYPE.SOA, TTL_SECONDS, {
    kind: "soa",
    primary: "localhost.",
    mailbox: "root.localhost.",
    serial: 1,
    refresh: 0,
    retry: 0,
    expire: 0,
    minimum: TTL_SECONDS,
  });
}

function answer(query: DnsQuery, parts: ReplyParts): Outcome {
  return { kind: "answer", by: "local", message: replyTo(query, { authoritative: true, ...parts }) };
}
