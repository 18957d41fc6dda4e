/**
 * Layer plan. What `nodeplane plan` prints: the whole state for some objects on some node, as text of the mode's
 * own tool. Pure; touches nothing.
 */
import type { IpFamily } from "../model/ip.ts";
import type { NftOp } from "../model/nftables.ts";
import type { FeedObject, ObjectProblem } from "../model/objects.ts";
import { IptablesCompiler } from "./iptables/compiler.ts";
import type { IptablesFeatures } from "./iptables/node-rules.ts";
import type { RestoreInput } from "./iptables/restore-input.ts";
import { emptyState } from "./iptables/saved-state.ts";
import { DEFAULT_SCHEDULER, type IpvsState, ipvsState } from "./ipvs/state.ts";
import { formatIpvsPlan } from "./ipvs/text.ts";
import type { ProxyMode } from "./mode.ts";
import { NftCompiler } from "./nftables/compiler.ts";
import { setsOf, tableOf } from "./nftables/names.ts";
import { formatOps } from "./nftables/text.ts";
import type { NodeConfig } from "./node-config.ts";
import { Planner } from "./planner.ts";
import type { UnitChange } from "./unit.ts";

export interface PlanText {
  /**
   * For mode nftables a script that `nft -f` accepts; for iptables the input of both families' restore commands; for ipvs that
   * of ip, ipvsadm and nft, one part each.
   */
  readonly text: string;
  /** Objects that would be refused, wholly or in part. */
  readonly problems: readonly ObjectProblem[];
}

export interface NftPlan {
  readonly ops: Readonly<Record<IpFamily, readonly NftOp[]>>;
  readonly problems: readonly ObjectProblem[];
}

export interface IptablesPlan {
  readonly inputs: Readonly<Record<IpFamily, RestoreInput>>;
  readonly problems: readonly ObjectProblem[];
}

/** What `iptables-restore` would read for `objects` on a machine without any of our chains. */
export function planIptables(
  objects: Iterable<FeedObject>,
  node: NodeConfig,
  features: IptablesFeatures = { hasRandomFully: true },
): IptablesPlan {
  const planner = new Planner(node);
  const changes = allChanges(planner, objects);
  const inputOf = (family: IpFamily): RestoreInput => {
    const compiler = new IptablesCompiler(family, node, features);
    compiler.stage(changes.filter((change) => change.family === family));
    if (compiler.needsRecompile) compiler.recompile(node);
    return compiler.fullInput(emptyState());
  };
  return { inputs: { ip: inputOf("ip"), ip6: inputOf("ip6") }, problems: planner.problems() };
}

export interface IpvsPlan {
  readonly states: Readonly<Record<IpFamily, IpvsState>>;
  readonly problems: readonly ObjectProblem[];
}

/** What IPVS, the dummy device and nf_tables would hold for `objects`. */
export function planIpvs(
  objects: Iterable<FeedObject>,
  node: NodeConfig,
  scheduler: string = DEFAULT_SCHEDULER,
): IpvsPlan {
  const planner = new Planner(node);
  const units = allChanges(planner, objects).flatMap(({ unit }) => (unit === undefined ? [] : [unit]));
  const stateOf = (family: IpFamily): IpvsState => {
    const own = units.filter(({ shape }) => shape.family === family);
    return ipvsState(own, node, family, scheduler);
  };
  return { states: { ip: stateOf("ip"), ip6: stateOf("ip6") }, problems: planner.problems() };
}

/** Units of all objects, sorted by key. */
function allChanges(planner: Planner, objects: Iterable<FeedObject>): readonly UnitChange[] {
  planner.begin();
  for (const object of objects) planner.upsert(object);
  planner.commit(true);
  const changes: UnitChange[] = [];
  while (planner.hasChanges) changes.push(...planner.takeChanges(Number.POSITIVE_INFINITY));
  return changes.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

/** All operations that bring empty tables to what `objects` ask for. Units come sorted by key. */
export function planNft(objects: Iterable<FeedObject>, node: NodeConfig): NftPlan {
  const planner = new Planner(node);
  const changes = allChanges(planner, objects);
  const opsOf = (family: IpFamily): readonly NftOp[] => {
    const compiler = new NftCompiler(family, node);
    const own = compiler.stageNode(node, planner.serviceRanges(family));
    const units = compiler.stage(changes.filter((change) => change.family === family));
    return [...compiler.layoutOps(), ...own.ops, ...units.ops];
  };
  return { ops: { ip: opsOf("ip"), ip6: opsOf("ip6") }, problems: planner.problems() };
}

/** Plans `objects` for `node`, both families, from nothing. @param scheduler of mode ipvs */
export function planText(
  objects: Iterable<FeedObject>,
  node: NodeConfig,
  mode: ProxyMode,
  scheduler: string = DEFAULT_SCHEDULER,
): PlanText {
  if (mode === "iptables") {
    const { inputs, problems } = planIptables(objects, node);
    const lines = ["# iptables-restore --noflush", ...inputs.ip.lines];
    for (const line of ["# ip6tables-restore --noflush", ...inputs.ip6.lines]) lines.push(line);
    return { text: `${lines.join("\n")}\n`, problems };
  }
  if (mode === "ipvs") {
    const { states, problems } = planIpvs(objects, node, scheduler);
    return { text: formatIpvsPlan(states), problems };
  }
  const { ops, problems } = planNft(objects, node);
  const lines: string[] = [];
  for (const family of ["ip", "ip6"] as const)
    for (const line of formatOps(tableOf(family), ops[family], setsOf(family))) lines.push(line);
  return { text: `${lines.join("\n")}\n`, problems };
}
