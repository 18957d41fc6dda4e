/**
 * Layer plan. The chains of one service port's own: those that choose an endpoint, and one an endpoint. Pure; cost O(endpoints).
 * Source: kube-proxy 1.33, pkg/proxy/iptables/proxier.go.
 */
import { formatDestination } from "../packed.ts";
import type { Frontend, Target, Unit, UnitShape } from "../unit.ts";
import { endpointChain, hashedPort } from "./names.ts";
import { cidrsOfRange } from "./source-cidrs.ts";
import { comment, frontendsOf, type UnitWords } from "./unit-words.ts";

/** What of the node and of the whole state goes into a unit's rules. */
export interface UnitContext {
  readonly local: { readonly isLocal: string; readonly isNotLocal: string } | undefined;
  readonly masqueradeAll: boolean;
  /** Many endpoints: rules are written without the comments that name them. */
  readonly isLarge: boolean;
  /** Node ports answer on loopback, and what comes to them there is counted. */
  readonly countsLoopback: boolean;
}

/** A chain of our own: its rules as lines of a restore, `-A NAME …`. */
export interface OwnChain {
  readonly name: string;
  readonly rules: readonly string[];
}

interface NamedEndpoint {
  readonly target: Target;
  /** `address:port`, IPv6 in brackets. */
  readonly text: string;
  readonly chain: string;
}

/** Each endpoint once, in the order of kube-proxy, which sorts `address:port` as text. */
function nameEndpoints({ shape, cluster, local }: Unit): readonly NamedEndpoint[] {
  const port = hashedPort(shape);
  const named = (cluster.length > 0 && local.length > 0 ? union(cluster, local) : [...cluster, ...local]).map(
    (target) => {
      const text = formatDestination(target.destination);
      return { target, text, chain: endpointChain(port, text) };
    },
  );
  return named.sort((a, b) => (a.text < b.text ? -1 : 1));
}

/** Targets of either set, each destination once. */
function union(a: readonly Target[], b: readonly Target[]): readonly Target[] {
  const known = new Set(a.map(({ destination }) => destination));
  return [...a, ...b.filter(({ destination }) => !known.has(destination))];
}

class ChainWriter {
  readonly #unit: Unit;
  readonly #context: UnitContext;
  readonly #words: UnitWords;
  readonly #shape: UnitShape;
  readonly #endpoints: readonly NamedEndpoint[];
  readonly #chains: OwnChain[] = [];

  constructor(unit: Unit, context: UnitContext, words: UnitWords) {
    this.#unit = unit;
    this.#context = context;
    this.#words = words;
    this.#shape = unit.shape;
    this.#endpoints = nameEndpoints(unit);
  }

  render(): readonly OwnChain[] {
    const { internals, externals, externalTargets, isFirewalled } = frontendsOf(this.#unit);
    this.#policyChains(internals, externals.length > 0);
    if (externals.length > 0 && this.#unit.hasAny) this.#externalChain(externalTargets.length > 0);
    if (isFirewalled) this.#firewallChain();
    this.#endpointChains();
    return this.#chains;
  }

  /** The chains of the cluster set and of the local set, those that somebody jumps to. */
  #policyChains(internals: readonly Frontend[], hasExternals: boolean): void {
    const { cluster, local } = this.#unit;
    const internalChain = this.#words.policyChain("internal");
    const isClusterUsed = this.#shape.internalPolicy === "Cluster" || hasExternals;
    const isLocalUsed =
      this.#shape.internalPolicy === "Local" || (hasExternals && this.#shape.externalPolicy === "Local");
    for (const [name, targets, isUsed] of [
      [`KUBE-SVC-${this.#words.hash}`, cluster, isClusterUsed],
      [`KUBE-SVL-${this.#words.hash}`, local, isLocalUsed],
    ] as const) {
      if (!isUsed || targets.length === 0) continue;
      const masquerade = name === internalChain ? internals.flatMap((f) => this.#internalMasquerade(f)) : [];
      const rules = masquerade.map((rule) => `-A ${name} ${rule}`);
      this.#choices(targets, `-A ${name} `, rules);
      this.#chains.push({ name, rules });
    }
  }

  #internalMasquerade(frontend: Frontend): readonly string[] {
    const { masqueradeAll, local } = this.#context;
    if (!masqueradeAll && local === undefined) return [];
    const unless = masqueradeAll ? "" : ` ${local?.isNotLocal ?? ""}`;
    const match = `${comment(`${this.#words.label} cluster IP`)} ${this.#words.destination(frontend)}`;
    return [`${match}${unless} -j KUBE-MARK-MASQ`];
  }

  /** Who has been led to an endpoint before goes there again; the others are led to one at random, by weight. */
  #choices(targets: readonly Target[], into: string, rules: string[]): void {
    const seconds = this.#shape.affinitySeconds;
    const isOnlySet = this.#unit.cluster.length === 0 || this.#unit.local.length === 0;
    const slotsOf = new Map(isOnlySet ? [] : targets.map((target) => [target.destination, target.slots]));
    const named: { readonly slots: number; readonly chain: string; readonly text: string }[] = [];
    for (const { target, chain, text: endpoint } of this.#endpoints) {
      const slots = isOnlySet ? target.slots : slotsOf.get(target.destination);
      if (slots === undefined) continue;
      const text = this.#context.isLarge ? "" : `${comment(`${this.#words.label} -> ${endpoint}`)} `;
      named.push({ slots, chain, text });
    }
    if (seconds > 0) {
      for (const { chain, text } of named)
        rules.push(
          `${into}${text}-m recent --name ${chain} --rcheck --seconds ${seconds} --reap -j ${chain}`,
        );
    }
    let left = targets.reduce((sum, target) => sum + target.slots, 0);
    for (const { chain, text, slots } of named) {
      const probability = (slots / left).toFixed(10);
      const choice = slots === left ? "" : `-m statistic --mode random --probability ${probability} `;
      rules.push(`${into}${text}${choice}-j ${chain}`);
      left -= slots;
    }
  }

  #externalChain(hasTargets: boolean): void {
    const cluster = `KUBE-SVC-${this.#words.hash}`;
    const of = `for ${this.#words.label} external destinations`;
    const rules: string[] = [];
    if (this.#shape.externalPolicy === "Cluster") {
      rules.push(`${comment(`masquerade traffic ${of}`)} -j KUBE-MARK-MASQ`);
    } else {
      const { local } = this.#context;
      if (local !== undefined) rules.push(`${comment(`pod traffic ${of}`)} ${local.isLocal} -j ${cluster}`);
      const own = "-m addrtype --src-type LOCAL";
      rules.push(`${comment(`masquerade LOCAL traffic ${of}`)} ${own} -j KUBE-MARK-MASQ`);
      rules.push(`${comment(`route LOCAL traffic ${of}`)} ${own} -j ${cluster}`);
    }
    if (hasTargets) rules.push(`-j ${this.#words.policyChain("external")}`);
    this.#addChain(`KUBE-EXT-${this.#words.hash}`, rules);
  }

  #firewallChain(): void {
    const text = comment(`${this.#words.label} loadbalancer IP`);
    const rules = this.#shape.sourceRanges
      .flatMap(cidrsOfRange)
      .map((cidr) => `${text} -s ${cidr} -j KUBE-EXT-${this.#words.hash}`);
    const name = `KUBE-FW-${this.#words.hash}`;
    rules.push(comment(`other traffic to ${this.#words.label} will be dropped by KUBE-PROXY-FIREWALL`));
    this.#addChain(name, rules);
  }

  #addChain(name: string, rules: readonly string[]): void {
    this.#chains.push({ name, rules: rules.map((rule) => `-A ${name} ${rule}`) });
  }

  #endpointChains(): void {
    const text = this.#context.isLarge ? "" : `${comment(this.#words.label)} `;
    for (const { chain: name, text: endpoint } of this.#endpoints) {
      const remember = this.#shape.affinitySeconds > 0 ? `-m recent --name ${name} --set ` : "";
      const isBracketed = endpoint.startsWith("[");
      const end = endpoint.lastIndexOf(":");
      const address = isBracketed ? endpoint.slice(1, end - 1) : endpoint.slice(0, end);
      const rules = [
        `-A ${name} ${text}-s ${address} -j KUBE-MARK-MASQ`,
        `-A ${name} ${text}${remember}${this.#words.protocol} -j DNAT --to-destination ${endpoint}`,
      ];
      this.#chains.push({ name, rules });
    }
  }
}

/** Rules of a unit's own chains. Equal units in equal contexts give equal rules. */
export function renderChains(unit: Unit, context: UnitContext, words: UnitWords): readonly OwnChain[] {
  return new ChainWriter(unit, context, words).render();
}
