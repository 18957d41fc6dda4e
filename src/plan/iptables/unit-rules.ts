/**
 * Layer plan. What one service port has in iptables: its lines in the chains that exist once, worked out at once, and its own
 * chains, rendered each time that somebody asks for them: the text of all service ports is many times what it is made of.
 * Pure. Source: kube-proxy 1.33, pkg/proxy/iptables/proxier.go.
 */
import type { Frontend, Unit } from "../unit.ts";
import { PACKET_COUNTERS } from "./names.ts";
import { countIn } from "./node-rules.ts";
import { type OwnChain, renderChains, type UnitContext } from "./unit-chains.ts";
import { comment, frontendsOf, UnitWords } from "./unit-words.ts";

/** Lines for the chains that exist once, each whole, by the chain. */
interface SharedLines {
  readonly natServices: string[];
  readonly natNodePorts: string[];
  readonly filterServices: string[];
  readonly filterExternal: string[];
  readonly filterNodePorts: string[];
  readonly filterFirewall: string[];
}

/** A unit's own chains, counted. */
export interface ChainCounts {
  readonly chains: number;
  readonly rules: number;
}

class SharedLinesWriter {
  readonly #unit: Unit;
  readonly #context: UnitContext;
  readonly #words: UnitWords;
  readonly #lines: SharedLines = {
    natServices: [],
    natNodePorts: [],
    filterServices: [],
    filterExternal: [],
    filterNodePorts: [],
    filterFirewall: [],
  };

  constructor(unit: Unit, context: UnitContext, words: UnitWords) {
    this.#unit = unit;
    this.#context = context;
    this.#words = words;
  }

  write(): SharedLines {
    const { internals, externals, internalTargets, externalTargets } = frontendsOf(this.#unit);
    for (const frontend of internals) {
      if (internalTargets.length > 0)
        this.#lines.natServices.push(
          this.#serviceRule(frontend, "cluster IP", this.#words.policyChain("internal")),
        );
      else this.#lines.filterServices.push(this.#refusal("KUBE-SERVICES", frontend));
    }
    for (const frontend of externals) this.#external(frontend, externalTargets.length > 0);
    this.#healthPort();
    return this.#lines;
  }

  #serviceRule(frontend: Frontend, what: string, target: string): string {
    const { label } = this.#words;
    return `-A KUBE-SERVICES ${comment(`${label} ${what}`)} ${this.#words.destination(frontend)} -j ${target}`;
  }

  /** REJECT or DROP for a frontend that no endpoint can serve here. */
  #refusal(chain: string, frontend: Frontend): string {
    const { hasAny } = this.#unit;
    const why = comment(`${this.#words.label} ${hasAny ? "has no local endpoints" : "has no endpoints"}`);
    return `-A ${chain} ${why} ${this.#words.destination(frontend)} -j ${hasAny ? "DROP" : "REJECT"}`;
  }

  #external(frontend: Frontend, hasTargets: boolean): void {
    const { label, hash, protocol } = this.#words;
    const { hasAny } = this.#unit;
    const isFirewalled = hasAny && frontend.isGuarded;
    const firewall = `KUBE-FW-${hash}`;
    const entry = `KUBE-EXT-${hash}`;
    if (hasAny && frontend.class === "node-port") {
      const match = `${comment(label)} ${protocol} --dport ${frontend.port}`;
      if (this.#context.countsLoopback) {
        const counted = `-d 127.0.0.0/8${countIn(PACKET_COUNTERS.loopback)}`;
        this.#lines.natNodePorts.push(`-A KUBE-NODEPORTS ${match} ${counted} -j ${entry}`);
      }
      this.#lines.natNodePorts.push(`-A KUBE-NODEPORTS ${match} -j ${entry}`);
    } else if (hasAny) {
      const what = frontend.field.startsWith("status.") ? "loadbalancer IP" : "external IP";
      this.#lines.natServices.push(this.#serviceRule(frontend, what, isFirewalled ? firewall : entry));
    }
    if (isFirewalled) {
      const text = comment(`${label} traffic not accepted by ${firewall}`);
      const match = `${text} ${this.#words.destination(frontend)}`;
      this.#lines.filterFirewall.push(`-A KUBE-PROXY-FIREWALL ${match} -j DROP`);
    }
    if (!hasTargets) this.#lines.filterExternal.push(this.#refusal("KUBE-EXTERNAL-SERVICES", frontend));
  }

  #healthPort(): void {
    const port = this.#unit.shape.healthCheckNodePort ?? 0;
    if (port === 0) return;
    const text = comment(`${this.#words.label} health check node port`);
    this.#lines.filterNodePorts.push(`-A KUBE-NODEPORTS ${text} -m tcp -p tcp --dport ${port} -j ACCEPT`);
  }
}

/** A unit as text. Equal units in equal contexts give equal rules. */
export class CompiledUnit {
  readonly unit: Unit;
  readonly shared: Readonly<Record<keyof SharedLines, readonly string[]>>;
  readonly #context: UnitContext;
  readonly #words: UnitWords;
  #counts: ChainCounts | undefined;
  #kept: readonly OwnChain[] | undefined;

  constructor(unit: Unit, context: UnitContext) {
    this.unit = unit;
    this.#context = context;
    this.#words = new UnitWords(unit.shape);
    this.shared = new SharedLinesWriter(unit, context, this.#words).write();
  }

  get lacksLocal(): { readonly internal: boolean; readonly external: boolean } {
    const { shape, hasAny, local } = this.unit;
    const hasExternals = shape.frontends.some((frontend) => frontend.class !== "internal");
    return {
      internal: hasAny && shape.internalPolicy === "Local" && local.length === 0,
      external: hasAny && shape.externalPolicy === "Local" && hasExternals && local.length === 0,
    };
  }

  /** Known from the first rendering on. */
  get counts(): ChainCounts {
    if (this.#counts === undefined) this.chains();
    return this.#counts ?? { chains: 0, rules: 0 };
  }

  /** Most of the work. */
  chains(): readonly OwnChain[] {
    const chains = this.#kept ?? renderChains(this.unit, this.#context, this.#words);
    this.#counts ??= {
      chains: chains.length,
      rules: chains.reduce((sum, { rules }) => sum + rules.length, 0),
    };
    return chains;
  }

  /** Renders what is needed soon. */
  keepChains(): readonly OwnChain[] {
    this.#kept ??= this.chains();
    return this.#kept;
  }

  forgetChains(): void {
    this.#kept = undefined;
  }
}
