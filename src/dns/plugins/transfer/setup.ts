/**
 * Layer dns. The `transfer` plugin: whole zones for those who may have them (AXFR; IXFR gets the whole zone, or one SOA
 * when the client is up to date). NOTIFY is not sent: records change with every endpoint.
 */
import { CLASS, RCODE, TYPE } from "../../../codec/dns/constants.ts";
import { type Cidr, cidrContains, parseIp } from "../../../model/ip.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import { expectArgs, parseRange, readOptions, refuseOption, zoneArgs } from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import { NEXT, type Outcome, type Plugin, type PluginDefinition, type SetupContext } from "../../plugin.ts";
import { type DnsQuery, replyTo } from "../../query.ts";

interface Rule {
  readonly zones: readonly string[];
  /** `undefined`: anybody. */
  readonly ranges: readonly Cidr[] | undefined;
}

export const transfer: PluginDefinition = {
  name: "transfer",
  setup: (directives, context) => [
    new TransferPlugin(
      directives.map((directive) => parseRule(directive, context)),
      context,
    ),
  ],
};

function parseRule(directive: Directive, context: SetupContext): Rule {
  const ranges: Cidr[] = [];
  let isOpen = false;
  readOptions(directive, {
    to: (option) => {
      expectArgs(option, 1, 1000, "to ADDRESS…|*");
      for (const text of option.args) {
        const range = parseRange(text) ?? parseRange(text.replace(/:53$/, ""));
        if (text === "*") isOpen = true;
        else if (range === undefined)
          throw corefileError(option, "to", `"${text}" is no address; allowed: IP, CIDR, *`);
        else ranges.push(range);
      }
    },
    source: refuseOption("is not supported: no NOTIFY is sent"),
  });
  if (!isOpen && ranges.length === 0)
    throw corefileError(directive, "transfer", 'needs "to ADDRESS…" or "to *"');
  return { zones: zoneArgs(directive, 0, context.zones), ranges: isOpen ? undefined : ranges };
}

class TransferPlugin implements Plugin {
  readonly name = "transfer";
  readonly #rules: readonly Rule[];
  readonly #context: SetupContext;

  constructor(rules: readonly Rule[], context: SetupContext) {
    this.#rules = rules;
    this.#context = context;
  }

  handle(query: DnsQuery): Outcome {
    if ((query.type !== TYPE.AXFR && query.type !== TYPE.IXFR) || query.class !== CLASS.IN) return NEXT;
    const records = this.#context
      .plugins()
      .map((plugin) => plugin.transfer?.(query.lowerName))
      .find((found) => found !== undefined);
    const [soa] = records ?? [];
    if (records === undefined || soa === undefined) return NEXT;
    if (!this.#isAllowed(query))
      return { kind: "answer", by: this.name, message: replyTo(query, { rcode: RCODE.REFUSED }) };
    const isUdp = query.client.transport === "udp";
    if (query.type === TYPE.IXFR && (isUdp || isCurrent(query, soa.data))) {
      return {
        kind: "answer",
        by: this.name,
        message: replyTo(query, { authoritative: true, answers: [soa] }),
      };
    }
    if (isUdp) return { kind: "answer", by: this.name, message: replyTo(query, { rcode: RCODE.REFUSED }) };
    return { kind: "transfer", by: this.name, records };
  }

  #isAllowed(query: DnsQuery): boolean {
    const address = parseIp(query.client.address.split("%")[0] ?? "");
    return this.#rules.some(
      ({ zones, ranges }) =>
        zones.some((zone) => query.lowerName === zone || zone === ".") &&
        (ranges === undefined ||
          (address !== undefined && ranges.some((range) => cidrContains(range, address)))),
    );
  }
}

/** The client's serial stands in the SOA of its authority section (RFC 1995). */
function isCurrent(query: DnsQuery, ours: { readonly kind: string; readonly serial?: number }): boolean {
  const theirs = query.message.authorities.find((entry) => entry.type === TYPE.SOA)?.data;
  return theirs?.kind === "soa" && theirs.serial === ours.serial;
}
