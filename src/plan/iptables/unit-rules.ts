/**
 * Layer plan. The iptables rules of one service port, by the chain that they go to. Pure; cost O(endpoints).
 * Source: facts/kube-proxy-behaviour.md sections 1.3 and 2.1.
 */
import { formatDestination, unpackIp } from "../packed.ts";
import type { Frontend, Target, Unit, UnitShape } from "../unit.ts";
import { endpointChain, PACKET_COUNTERS, portLabel, protocolName, serviceHash } from "./names.ts";
import { countIn } from "./node-rules.ts";
import { cidrsOfRange } from "./source-cidrs.ts";

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

/** A unit as text. Rules of shared chains are whole lines. */
export interface CompiledUnit {
  readonly shape: UnitShape;
  readonly hasAny: boolean;
  readonly lacksLocal: { readonly internal: boolean; readonly external: boolean };
  readonly natServices: readonly string[];
  readonly natNodePorts: readonly string[];
  readonly filterServices: readonly string[];
  readonly filterExternal: readonly string[];
  readonly filterNodePorts: readonly string[];
  readonly filterFirewall: readonly string[];
  readonly chains: readonly OwnChain[];
}

function comment(text: string): string {
  return `-m comment --comment "${text}"`;
}

interface NamedEndpoint {
  readonly target: Target;
  /** `address:port`, IPv6 in brackets. */
  readonly text: string;
  readonly chain: string;
}

/** Each endpoint once, in the order of kube-proxy, which sorts `address:port` as text. */
function nameEndpoints(unit: Unit): readonly NamedEndpoint[] {
  const named = new Map<string, NamedEndpoint>();
  for (const set of [unit.cluster, unit.local])
    for (const target of set) {
      if (named.has(target.destination)) continue;
      const text = formatDestination(target.destination);
      named.set(target.destination, { target, text, chain: endpointChain(unit.shape, text) });
    }
  return [...named.values()].sort((a, b) => (a.text < b.text ? -1 : 1));
}

class UnitWriter {
  readonly #unit: Unit;
  readonly #context: UnitContext;
  readonly #shape: UnitShape;
  readonly #label: string;
  readonly #protocol: string;
  readonly #hash: string;
  readonly #endpoints: readonly NamedEndpoint[];
  readonly #chains: OwnChain[] = [];

  constructor(unit: Unit, context: UnitContext) {
    this.#unit = unit;
    this.#context = context;
    this.#shape = unit.shape;
    this.#label = portLabel(unit.shape);
    this.#protocol = `-m ${protocolName(unit.shape)} -p ${protocolName(unit.shape)}`;
    this.#hash = serviceHash(unit.shape);
    this.#endpoints = nameEndpoints(unit);
  }

  compile(): CompiledUnit {
    const { cluster, local, hasAny } = this.#unit;
    const shape = this.#shape;
    const internals = shape.frontends.filter((frontend) => frontend.class === "internal");
    const externals = shape.frontends.filter((frontend) => frontend.class !== "internal");
    const internalSet = shape.internalPolicy === "Local" ? local : cluster;
    const externalSet = shape.externalPolicy === "Local" ? local : cluster;
    const lines = {
      natServices: [] as string[],
      natNodePorts: [] as string[],
      filterServices: [] as string[],
      filterExternal: [] as string[],
      filterNodePorts: this.#healthPort(),
      filterFirewall: [] as string[],
    };
    for (const frontend of internals) {
      if (internalSet.length > 0)
        lines.natServices.push(this.#serviceRule(frontend, "cluster IP", this.#policyChain("internal")));
      else lines.filterServices.push(this.#refusal("KUBE-SERVICES", this.#destination(frontend)));
    }
    const hasFirewall = hasAny && externals.some((frontend) => frontend.isGuarded);
    for (const frontend of externals) this.#external(frontend, externalSet.length > 0, lines);
    this.#policyChains(internals, externals.length > 0);
    if (externals.length > 0 && hasAny) this.#externalChain(externalSet.length > 0);
    if (hasFirewall) this.#firewallChain();
    this.#endpointChains();
    return {
      shape,
      hasAny,
      lacksLocal: {
        internal: hasAny && shape.internalPolicy === "Local" && local.length === 0,
        external: hasAny && shape.externalPolicy === "Local" && externals.length > 0 && local.length === 0,
      },
      chains: this.#chains,
      ...lines,
    };
  }

  #destination(frontend: Frontend): string {
    const port = `--dport ${frontend.port}`;
    if (frontend.class === "node-port") return `-m addrtype --dst-type LOCAL ${this.#protocol} ${port}`;
    return `${this.#protocol} -d ${unpackIp(frontend.address)} ${port}`;
  }

  #serviceRule(frontend: Frontend, what: string, target: string): string {
    return `-A KUBE-SERVICES ${comment(`${this.#label} ${what}`)} ${this.#destination(frontend)} -j ${target}`;
  }

  /** REJECT or DROP for a frontend that no endpoint can serve here. */
  #refusal(chain: string, match: string): string {
    const { hasAny } = this.#unit;
    const why = hasAny ? "has no local endpoints" : "has no endpoints";
    return `-A ${chain} ${comment(`${this.#label} ${why}`)} ${match} -j ${hasAny ? "DROP" : "REJECT"}`;
  }

  #external(
    frontend: Frontend,
    hasTargets: boolean,
    lines: {
      natServices: string[];
      natNodePorts: string[];
      filterExternal: string[];
      filterFirewall: string[];
    },
  ): void {
    const { hasAny } = this.#unit;
    const destination = this.#destination(frontend);
    const isFirewalled = hasAny && frontend.isGuarded;
    const firewall = `KUBE-FW-${this.#hash}`;
    const entry = `KUBE-EXT-${this.#hash}`;
    if (hasAny && frontend.class === "node-port") {
      const match = `${comment(this.#label)} ${this.#protocol} --dport ${frontend.port}`;
      if (this.#context.countsLoopback) {
        const counted = `-d 127.0.0.0/8${countIn(PACKET_COUNTERS.loopback)}`;
        lines.natNodePorts.push(`-A KUBE-NODEPORTS ${match} ${counted} -j ${entry}`);
      }
      lines.natNodePorts.push(`-A KUBE-NODEPORTS ${match} -j ${entry}`);
    } else if (hasAny) {
      const what = frontend.field.startsWith("status.") ? "loadbalancer IP" : "external IP";
      lines.natServices.push(this.#serviceRule(frontend, what, isFirewalled ? firewall : entry));
    }
    if (isFirewalled) {
      const text = comment(`${this.#label} traffic not accepted by ${firewall}`);
      lines.filterFirewall.push(`-A KUBE-PROXY-FIREWALL ${text} ${destination} -j DROP`);
    }
    if (!hasTargets) lines.filterExternal.push(this.#refusal("KUBE-EXTERNAL-SERVICES", destination));
  }

  #healthPort(): string[] {
    const port = this.#shape.healthCheckNodePort ?? 0;
    if (port === 0) return [];
    const text = comment(`${this.#label} health check node port`);
    return [`-A KUBE-NODEPORTS ${text} -m tcp -p tcp --dport ${port} -j ACCEPT`];
  }

  #policyChain(side: "internal" | "external"): string {
    const policy = side === "internal" ? this.#shape.internalPolicy : this.#shape.externalPolicy;
    return `${policy === "Local" ? "KUBE-SVL-" : "KUBE-SVC-"}${this.#hash}`;
  }

  /** The chains of the cluster set and of the local set, those that somebody jumps to. */
  #policyChains(internals: readonly Frontend[], hasExternals: boolean): void {
    const { cluster, local } = this.#unit;
    const internalChain = this.#policyChain("internal");
    const isClusterUsed = this.#shape.internalPolicy === "Cluster" || hasExternals;
    const isLocalUsed =
      this.#shape.internalPolicy === "Local" || (hasExternals && this.#shape.externalPolicy === "Local");
    for (const [name, targets, isUsed] of [
      [`KUBE-SVC-${this.#hash}`, cluster, isClusterUsed],
      [`KUBE-SVL-${this.#hash}`, local, isLocalUsed],
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
    const match = `${comment(`${this.#label} cluster IP`)} ${this.#destination(frontend)}`;
    return [`${match}${unless} -j KUBE-MARK-MASQ`];
  }

  /** Who has been led to an endpoint before goes there again; the others are led to one at random, by weight. */
  #choices(targets: readonly Target[], into: string, rules: string[]): void {
    const seconds = this.#shape.affinitySeconds;
    const slotsOf = new Map(targets.map((target) => [target.destination, target.slots]));
    const named = this.#endpoints.flatMap(({ target, chain, text: endpoint }) => {
      const slots = slotsOf.get(target.destination);
      if (slots === undefined) return [];
      const text = this.#context.isLarge ? "" : `${comment(`${this.#label} -> ${endpoint}`)} `;
      return [{ slots, chain, text }];
    });
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
    const cluster = `KUBE-SVC-${this.#hash}`;
    const of = `for ${this.#label} external destinations`;
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
    if (hasTargets) rules.push(`-j ${this.#policyChain("external")}`);
    this.#addChain(`KUBE-EXT-${this.#hash}`, rules);
  }

  #firewallChain(): void {
    const text = comment(`${this.#label} loadbalancer IP`);
    const rules = this.#shape.sourceRanges
      .flatMap(cidrsOfRange)
      .map((cidr) => `${text} -s ${cidr} -j KUBE-EXT-${this.#hash}`);
    const name = `KUBE-FW-${this.#hash}`;
    rules.push(comment(`other traffic to ${this.#label} will be dropped by KUBE-PROXY-FIREWALL`));
    this.#addChain(name, rules);
  }

  #addChain(name: string, rules: readonly string[]): void {
    this.#chains.push({ name, rules: rules.map((rule) => `-A ${name} ${rule}`) });
  }

  #endpointChains(): void {
    const text = this.#context.isLarge ? "" : `${comment(this.#label)} `;
    for (const { chain: name, text: endpoint } of this.#endpoints) {
      const remember = this.#shape.affinitySeconds > 0 ? `-m recent --name ${name} --set ` : "";
      const isBracketed = endpoint.startsWith("[");
      const end = endpoint.lastIndexOf(":");
      const address = isBracketed ? endpoint.slice(1, end - 1) : endpoint.slice(0, end);
      const rules = [
        `-A ${name} ${text}-s ${address} -j KUBE-MARK-MASQ`,
        `-A ${name} ${text}${remember}${this.#protocol} -j DNAT --to-destination ${endpoint}`,
      ];
      this.#chains.push({ name, rules });
    }
  }
}

/** Rules for a unit. Equal units in equal contexts give equal rules. */
export function compileUnit(unit: Unit, context: UnitContext): CompiledUnit {
  return new UnitWriter(unit, context).compile();
}
