/**
 * Layer plan. The rules around IPVS: what may reach a virtual server, and whose source is replaced. Constant in number. Pure.
 * Source: kube-proxy 1.33, pkg/proxy/ipvs/proxier.go.
 */
import type { IpFamily } from "../../model/ip.ts";
import type { NftField, NftRule, NftStatement } from "../../model/nftables.ts";
import { hostU32 } from "../nftables/host-order.ts";
import { fieldsOf } from "../nftables/names.ts";
import { fromPods } from "../nftables/rules.ts";
import type { NodeConfig } from "../node-config.ts";
import { IPVS_SETS } from "./names.ts";

/** Protocol numbers of pings: the node answers them on service addresses, as people expect of ipvs mode. */
const ICMP = { ip: 1, ip6: 58 } as const;
/** Bit of `ct state`, from the kernel's nf_conntrack_common.h. */
const CT_STATE_NEW = 8;

const drop: NftStatement = { kind: "verdict", verdict: { kind: "drop" } };
const reject: NftStatement = { kind: "reject" };
const jump = (chain: string): NftStatement => ({ kind: "verdict", verdict: { kind: "jump", chain } });

function hasBits(field: NftField, bits: number): NftStatement {
  return { kind: "match", field, op: "!=", value: hostU32(0), mask: hostU32(bits) };
}

function lookup(fields: readonly NftField[], set: string, negate = false): NftStatement {
  return { kind: "lookup", fields, set, negate };
}

/** All rules of a family, in order within each chain. */
export function ipvsRulesOf(node: NodeConfig, family: IpFamily): readonly NftRule[] {
  const { source, destination, frontend } = fieldsOf(family);
  const bit = 2 ** node.masqueradeBit;
  const mark: NftStatement = { kind: "mark", mask: bit, xor: bit };
  const isNew = hasBits("ct state", CT_STATE_NEW);
  const others = fromPods(node, family, "!=");
  const strangers = others === undefined ? [] : [others];
  const rule = (chain: string, ...statements: readonly NftStatement[]): NftRule => ({ chain, statements });
  const isMarkingInternal = node.masqueradeAll || others !== undefined;
  const internal = [isNew, lookup(frontend, IPVS_SETS.internal), ...(node.masqueradeAll ? [] : strangers)];
  return [
    rule(
      "guard",
      lookup(frontend, IPVS_SETS.guarded),
      lookup([...frontend, source], IPVS_SETS.sourceRanges, true),
      drop,
    ),
    rule("refuse", lookup(frontend, IPVS_SETS.drop), drop),
    rule("refuse", lookup(frontend, IPVS_SETS.reject), reject),
    // The node listens on service addresses as on any of its own: what is no frontend must not get through to it.
    rule(
      "refuse",
      { kind: "match", field: "meta l4proto", op: "!=", value: Uint8Array.of(ICMP[family]) },
      lookup([destination], IPVS_SETS.addresses),
      lookup(frontend, IPVS_SETS.frontends, true),
      reject,
    ),
    rule("prerouting", isNew, jump("guard")),
    rule("prerouting", isNew, lookup(frontend, IPVS_SETS.ownClients), ...strangers, drop),
    rule("prerouting", isNew, lookup(frontend, IPVS_SETS.masquerade), mark),
    ...(isMarkingInternal ? [rule("prerouting", ...internal, mark)] : []),
    rule("output", isNew, jump("guard")),
    rule("output", isNew, jump("refuse")),
    // A connection of the node that is bound to no address has the service address as its source: no endpoint could answer.
    rule("output", isNew, lookup(frontend, IPVS_SETS.frontends), lookup([source], IPVS_SETS.addresses), mark),
    rule(
      "output",
      isNew,
      lookup(frontend, IPVS_SETS.frontends),
      lookup(frontend, IPVS_SETS.internal, true),
      mark,
    ),
    ...(isMarkingInternal ? [rule("output", ...internal, mark)] : []),
    rule("input", isNew, jump("refuse")),
    rule(
      "postrouting",
      hasBits("meta mark", bit),
      { kind: "mark", mask: bit, xor: 0 },
      {
        kind: "masquerade",
        fullyRandom: true,
      },
    ),
    rule("postrouting", lookup([source, destination], IPVS_SETS.hairpins), {
      kind: "masquerade",
      fullyRandom: true,
    }),
  ];
}
