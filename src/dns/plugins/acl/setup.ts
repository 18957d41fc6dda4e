/** Layer dns. The `acl` plugin: who may ask what, by source address. The first line that fits decides; none: allowed. */
import { parseType, RCODE } from "../../../codec/dns/constants.ts";
import { longestZone } from "../../../codec/dns/name.ts";
import { type Cidr, cidrContains, parseIp } from "../../../model/ip.ts";
import { corefileError } from "../../corefile/corefile-error.ts";
import { parseRange, zoneArgs } from "../../corefile/options.ts";
import type { Directive } from "../../corefile/parser.ts";
import { NEXT, type Outcome, type Plugin, type PluginDefinition, type SetupContext } from "../../plugin.ts";
import { type DnsQuery, replyTo } from "../../query.ts";
import { OPTION } from "../../server/reply-edns.ts";

const ACTIONS = ["allow", "block", "filter", "drop"] as const;
type Action = (typeof ACTIONS)[number];

interface Rule {
  readonly action: Action;
  /** Empty: all types. */
  readonly types: ReadonlySet<number>;
  readonly ranges: readonly Cidr[];
}

/** One `acl` of the block. */
interface RuleList {
  readonly zones: readonly string[];
  readonly rules: readonly Rule[];
}

/** Extended errors (RFC 8914): Blocked, Filtered. */
const ERRORS = { block: 15, filter: 17 } as const;

export const acl: PluginDefinition = {
  name: "acl",
  setup: (directives, context) => {
    const lists = directives.map((directive) => ({
      zones: zoneArgs(directive, 0, context.zones),
      rules: (directive.options ?? []).map(parseRule),
    }));
    return directives.length === 0 ? [] : [aclPlugin(lists, context)];
  },
};

function aclPlugin(lists: readonly RuleList[], context: SetupContext): Plugin {
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
      const action = decide(lists, query);
      const { server, zone, view } = query.labels;
      if (action === "allow") {
        allowed.child(server, view).value++;
        return NEXT;
      }
      counters[action].child(server, zone, view).value++;
      if (action === "drop") return { kind: "drop", by: "acl" };
      const code = Buffer.alloc(2);
      code.writeUInt16BE(ERRORS[action]);
      query.replyOptions.push({ code: OPTION.EDE, bytes: code });
      const rcode = action === "block" ? RCODE.REFUSED : RCODE.NOERROR;
      return { kind: "answer", by: "acl", message: replyTo(query, { rcode }) };
    },
  };
}

/** The first rule that fits decides, over all lists whose zones hold the name. */
function decide(lists: readonly RuleList[], query: DnsQuery): Action {
  const address = parseIp(query.client.address.split("%")[0] ?? "");
  const rules = lists.flatMap((list) =>
    longestZone(query.lowerName, list.zones) === undefined ? [] : list.rules,
  );
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
