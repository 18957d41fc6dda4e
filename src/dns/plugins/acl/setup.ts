/** Layer dns. The `acl` plugin: who may ask what, by source address. The first line that fits decides; none: allowed. */
import { parseType, RCODE } from "../../../codec/dns/constants.ts";
import { longestZone } from "../../../codec/dns/name.ts";
import { type Cidr, cidrContains, parseIp } from "../../../model/ip.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import { parseRange, zoneArgs } from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import { NEXT, type Outcome, type PluginDefinition, type SetupContext } from "../../plugin.ts";
import { type DnsQuery, replyTo } from "../../query.ts";

const ACTIONS = ["allow", "block", "filter", "drop"] as const;
type Action = (typeof ACTIONS)[number];

interface Rule {
  readonly action: Action;
  /** Empty: all types. */
  readonly types: ReadonlySet<number>;
  readonly ranges: readonly Cidr[];
}

export const acl: PluginDefinition = {
  name: "acl",
  setup: (directives, context) => directives.map((directive) => setupOne(directive, context)),
};

function setupOne(
  directive: Directive,
  context: SetupContext,
): ReturnType<PluginDefinition["setup"]>[number] {
  const zones = zoneArgs(directive, 0, context.zones);
  const rules = (directive.options ?? []).map(parseRule);
  const scope = ["server", "zone", "view"];
  const { metrics } = context.runtime;
  const counters = {
    block: metrics.counter("coredns_acl_blocked_requests_total", "Queries refused.", scope),
    filter: metrics.counter("coredns_acl_filtered_requests_total", "Queries answered empty.", scope),
    drop: metrics.counter("coredns_acl_dropped_requests_total", "Queries left unanswered.", scope),
  };
  const allowed = metrics.counter("coredns_acl_allowed_requests_total", "Queries allowed.", [
    "server",
    "view",
  ]);
  return {
    name: "acl",
    handle: (query): Outcome => {
      if (longestZone(query.lowerName, zones) === undefined) return NEXT;
      const action = decide(rules, query);
      const { server, zone, view } = query.labels;
      if (action === "allow") {
        allowed.child(server, view).value++;
        return NEXT;
      }
      counters[action].child(server, zone, view).value++;
      if (action === "drop") return { kind: "drop", by: "acl" };
      const rcode = action === "block" ? RCODE.REFUSED : RCODE.NOERROR;
      return { kind: "answer", by: "acl", message: replyTo(query, { rcode }) };
    },
  };
}

function decide(rules: readonly Rule[], query: DnsQuery): Action {
  const address = parseIp(query.client.address.split("%")[0] ?? "");
  const rule = rules.find(
    ({ types, ranges }) =>
      (types.size === 0 || types.has(query.type)) &&
      address !== undefined &&
      ranges.some((range) => cidrContains(range, address)),
  );
  return rule?.action ?? "allow";
}

/** `ACTION [type TYPE…] [net CIDR…]`. */
function parseRule(option: Directive): Rule {
  const action = ACTIONS.find((name) => name === option.name);
  if (action === undefined) {
    throw corefileError(option, "acl", `unknown option "${option.name}"; allowed: ${ACTIONS.join(", ")}`);
  }
  const types = new Set<number>();
  const ranges: Cidr[] = [];
  let isAnyNet = true;
  let section = "";
  for (const word of option.args) {
    if (word === "type" || word === "net") {
      section = word;
      if (word === "net") isAnyNet = false;
    } else if (section === "type") {
      const type = parseType(word);
      if (word !== "*" && type === undefined)
        throw corefileError(option, "acl", `"${word}" is no record type`);
      if (type !== undefined) types.add(type);
    } else if (section === "net") {
      const range = parseRange(word);
      if (word === "*") isAnyNet = true;
      else if (range === undefined) throw corefileError(option, "acl", `"${word}" is no address range`);
      else ranges.push(range);
    } else {
      throw corefileError(
        option,
        "acl",
        `unexpected "${word}"; the form is: ${action} [type TYPE…] [net CIDR…]`,
      );
    }
  }
  const everywhere = ["0.0.0.0/0", "::/0"].flatMap((text) => parseRange(text) ?? []);
  return { action, types, ranges: isAnyNet ? everywhere : ranges };
}
