/** Layer dns. The `dns64` plugin: AAAA made of A for clients that have only IPv6 (RFC 6147). */
import { RCODE, TYPE } from "../../../codec/dns/constants.ts";
import type { ResourceRecord } from "../../../codec/dns/message.ts";
import {
  type Cidr,
  cidrContains,
  type IpAddress,
  ipFamily,
  ipFromBytes,
  ipToBytes,
  parseCidr,
} from "../../../model/ip.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import { expectArgs, readOptions } from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import { type Outcome, type PluginDefinition, type Rest, whenDone } from "../../plugin.ts";
import { type DnsQuery, record } from "../../query.ts";

const WELL_KNOWN = "64:ff9b::/96";
/** RFC 6052 section 2.2. */
const PREFIX_BITS = [32, 40, 48, 56, 64, 96];
/** A record that has no SOA to say otherwise lives this long at most (RFC 6147 section 5.1.7). */
const MAX_TTL_SECONDS = 600;

interface Options {
  prefix: Cidr;
  translateAll: boolean;
  allowIpv4: boolean;
}

export const dns64: PluginDefinition = {
  name: "dns64",
  setup: ([directive], context) => {
    if (directive === undefined) return [];
    expectArgs(directive, 0, 1, "dns64 [PREFIX]");
    const options: Options = {
      prefix: prefixOf(directive, directive.args[0] ?? WELL_KNOWN),
      translateAll: false,
      allowIpv4: false,
    };
    readOptions(directive, {
      prefix: (option) => {
        expectArgs(option, 1, 1, "prefix PREFIX");
        options.prefix = prefixOf(option, option.args[0] ?? "");
      },
      translate_all: () => {
        options.translateAll = true;
      },
      allow_ipv4: () => {
        options.allowIpv4 = true;
      },
    });
    const counter = context.runtime.metrics.counter(
      "coredns_dns64_requests_translated_total",
      "AAAA answers made of A.",
      ["server"],
    );
    const count = (query: DnsQuery): void => void counter.child(query.labels.server).value++;
    return [{ name: "dns64", handle: (query, rest) => handle(query, rest, options, count) }];
  },
};

function prefixOf(directive: Directive, text: string): Cidr {
  const cidr = parseCidr(text);
  if (cidr === undefined || ipFamily(cidr.address) !== "ip6" || !PREFIX_BITS.includes(cidr.prefixBits)) {
    throw corefileError(
      directive,
      "dns64",
      `"${text}" is not allowed; an IPv6 prefix of ${PREFIX_BITS.join(", ")} bits is`,
    );
  }
  return cidr;
}

function handle(
  query: DnsQuery,
  rest: Rest,
  options: Options,
  count: (query: DnsQuery) => void,
): Outcome | Promise<Outcome> {
  const isOurs = query.type === TYPE.AAAA && (options.allowIpv4 || query.client.address.includes(":"));
  const { edns, checkingDisabled } = query.message;
  // Who validates itself must see what was signed (RFC 6147 section 5.5); DO alone is said by many a stub.
  if (!isOurs || (edns?.dnssecOk === true && checkingDisabled)) return rest(query);
  return whenDone<Outcome>(rest(query), (outcome) => {
    if (outcome.kind !== "answer" || outcome.message.rcode === RCODE.NXDOMAIN) return outcome;
    const hasOwn = outcome.message.answers.some((entry) => entry.type === TYPE.AAAA && !isMapped(entry));
    if (hasOwn && !options.translateAll) return outcome;
    const question = { name: query.name, type: TYPE.A, class: query.class };
    return whenDone<Outcome>(rest(query.with({ question })), (v4) => {
      if (v4.kind !== "answer") return outcome;
      const ttl = negativeTtl(outcome.message.authorities);
      const answers = v4.message.answers.map((entry) => translate(entry, options.prefix, ttl));
      if (!answers.some((entry) => entry.type === TYPE.AAAA)) return outcome;
      count(query);
      return {
        kind: "answer",
        by: "dns64",
        message: { ...v4.message, answers, authoritative: false, authenticData: false },
      };
    });
  });
}

/** ::ffff:0:0/96 is no address to connect to (RFC 6147 section 5.1.4). */
function isMapped(entry: ResourceRecord): boolean {
  const range = parseCidr("::ffff:0:0/96");
  return entry.data.kind === "address" && range !== undefined && cidrContains(range, entry.data.address);
}

/** How long the answer "no AAAA" would have lived (RFC 6147 section 5.1.7). */
function negativeTtl(authorities: readonly ResourceRecord[]): number {
  const soa = authorities.find((entry) => entry.type === TYPE.SOA);
  return soa?.data.kind === "soa" ? Math.min(soa.ttl, soa.data.minimum) : MAX_TTL_SECONDS;
}

function translate(entry: ResourceRecord, prefix: Cidr, maxTtl: number): ResourceRecord {
  if (entry.type !== TYPE.A || entry.data.kind !== "address") return entry;
  const address = embed(prefix, entry.data.address);
  return record(entry.name, TYPE.AAAA, Math.min(entry.ttl, maxTtl), { kind: "address", address });
}

/** The four octets behind the prefix; octet 8 stays zero (RFC 6052 section 2.2). */
export function embed(prefix: Cidr, address: IpAddress): IpAddress {
  const bytes = ipToBytes(prefix.address);
  let at = prefix.prefixBits / 8;
  for (const octet of ipToBytes(address)) {
    if (at === 8) at++;
    bytes[at++] = octet;
  }
  return ipFromBytes(bytes) ?? address;
}
