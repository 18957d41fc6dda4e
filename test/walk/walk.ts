/**
 * Random walks: from step to step the objects of a cluster change, the real agent programs the kernel, and what the kernel then holds
 * is traced packet by packet against the oracle. Ends when something is wrong, with all that is needed to see it again.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgentFailed, AgentUnderTest } from "../packet-cases/agent.ts";
import { NetProbe } from "../packet-cases/netprobe.ts";
import type { Memory, Trace } from "./branches.ts";
import { changeSomething, createService } from "./changes.ts";
import { compare, expectedText, traceText } from "./check.ts";
import type { Cluster } from "./cluster.ts";
import { copyOf, objectsText } from "./cluster.ts";
import { KernelRules } from "./kernel.ts";
import { TOPOLOGY, WalkNetwork } from "./network.ts";
import { difference, normalise, withoutGuard } from "./normalise.ts";
import type { Expected, Mode, Packet, Verdict, WalkConfig } from "./oracle.ts";
import { Oracle, opensLoopback } from "./oracle.ts";
import { type Destination, destinations, packetsTo } from "./packets.ts";
import { NODE, NODE_NAME, SERVICE_CIDRS } from "./pools.ts";
import { Random } from "./random.ts";
import { packetText, RealPackets } from "./real-packets.ts";
import { agentSettings, randomConfig } from "./settings.ts";

export interface WalkOptions {
  readonly mode: Mode;
  readonly variant?: "legacy" | "nft";
  readonly steps: number;
  readonly seed: number;
  /** Real packets after every so many steps, and after the last. */
  readonly realEvery: number;
  readonly say: (line: string) => void;
}

export interface WalkCounts {
  steps: number;
  changes: number;
  restarts: number;
  traced: number;
  connections: number;
  freshStarts: number;
  /** Frontends that somebody wanted in vain, summed over the steps. */
  conflicts: number;
  /** Packets by what became of them. */
  readonly verdicts: Record<Verdict, number>;
}

/** The message tells the whole story. */
export class WalkFailed extends Error {
  override readonly name = "WalkFailed";
}

const FIRST_SERVICES = 9;
/** A step in so many has several changes in one batch. */
const BATCHED = 4;
/** The agent is stopped and started again once in so many steps. */
const RESTARTED = 30;
/** Everything possible is looked at once in so many steps, a sample otherwise. */
const THOROUGH = 20;
const FRESH_EVERY = 250;
const NODE_FACTS = { name: NODE_NAME, internalAddresses: [NODE.ip, NODE.ip6] };
const MOST_LINES = 12;

export class Walk {
  readonly counts: WalkCounts = {
    steps: 0,
    changes: 0,
    restarts: 0,
    traced: 0,
    connections: 0,
    freshStarts: 0,
    conflicts: 0,
    verdicts: { BACKEND: 0, REJECT: 0, DROP: 0, NONE: 0, ACCEPT: 0 },
  };
  readonly #options: WalkOptions;
  readonly #changes: Random;
  readonly #looks: Random;
  readonly #folder = mkdtempSync(join(tmpdir(), "nodeplane-walk-"));
  readonly #network = new WalkNetwork();
  readonly #probe = new NetProbe();
  #config: WalkConfig;
  readonly #real: RealPackets;
  #cluster: Cluster = { services: new Map(), slices: new Map(), serviceCidrs: [...SERVICE_CIDRS[0]] };
  #agent: AgentUnderTest;
  readonly #remove = (): void => rmSync(this.#folder, { recursive: true, force: true });
  #agents = 0;
  #stamp = 0;
  #done: readonly string[] = [];

  constructor(options: WalkOptions) {
    this.#options = options;
    process.once("exit", this.#remove);
    // Streams of their own, so that looking less does not change where the walk goes.
    this.#changes = new Random(options.seed);
    this.#looks = new Random(options.seed ^ 0x5bd1e995);
    const nodeAddresses = this.#network.nodeAddresses();
    const config = randomConfig(options.mode, new Random(options.seed + 1));
    this.#config = { ...config, nodeAddresses, isGuardLeft: false };
    this.#real = new RealPackets(this.#network, this.#probe, nodeAddresses);
    for (let i = 0; i < FIRST_SERVICES; i++) createService(this.#cluster, this.#changes);
    this.#agent = this.#startAgent(this.#network);
  }

  /** @throws {WalkFailed} at the first step whose outcome is wrong */
  async run(): Promise<void> {
    try {
      await this.#run();
    } catch (error) {
      if (!(error instanceof AgentFailed)) throw error;
      this.#fail([`the agent: ${error.message}`], []);
    }
  }

  async #run(): Promise<void> {
    const { steps, realEvery, say } = this.#options;
    const { nodeAddresses: _, ...config } = this.#config;
    say(`settings ${JSON.stringify(config)}`);
    await this.#agent.started();
    await this.#look({ services: new Map(), slices: new Map(), serviceCidrs: [] }, true);
    for (let step = 1; step <= steps; step++) {
      await this.#step(step);
      const isLast = step === steps;
      if (isLast || step % FRESH_EVERY === 0) await this.#compareWithFreshStart();
      if (step % 100 === 0)
        say(`step ${step}: ${this.counts.traced} packets traced, ${this.counts.connections} connections`);
      if (realEvery > 0 && (isLast || step % realEvery === 0)) await this.#confirm();
    }
  }

  /** @param isGood nothing of it needs to be looked at any more */
  async close(isGood: boolean): Promise<void> {
    await this.#agent.stop();
    this.#probe.end();
    this.#network.close();
    process.off("exit", this.#remove);
    if (isGood) this.#remove();
  }

  async #step(step: number): Promise<void> {
    this.counts.steps = step;
    const before = copyOf(this.#cluster);
    if (this.#changes.once(RESTARTED)) {
      this.counts.restarts++;
      await this.#agent.stop();
      this.#done = [this.#changes.once(2) ? this.#reconfigure() : "the agent is restarted"];
      this.#agent = this.#startAgent(this.#network);
      await this.#agent.started();
    } else {
      const count = this.#changes.once(BATCHED) ? this.#changes.between(2, 4) : 1;
      this.#done = Array.from({ length: count }, () => changeSomething(this.#cluster, this.#changes));
      this.counts.changes += count;
      await this.#agent.applyText(this.#text());
    }
    await this.#look(before, step % THOROUGH === 0);
  }

  /** The next agent has other settings. */
  #reconfigure(): string {
    const { nodeAddresses } = this.#config;
    const isGuardLeft = this.#config.isGuardLeft || opensLoopback(this.#config);
    const config = randomConfig(this.#options.mode, this.#changes);
    this.#config = { ...config, nodeAddresses, isGuardLeft };
    return `the agent is restarted with ${JSON.stringify(config)}`;
  }

  #text(): string {
    return objectsText(this.#cluster, NODE_FACTS, ++this.#stamp);
  }

  /** An agent whose first objects are those of now. */
  #startAgent(network: WalkNetwork): AgentUnderTest {
    const { mode, variant } = this.#options;
    const folder = mkdtempSync(join(this.#folder, `agent${this.#agents++}-`));
    const target = variant === undefined ? { mode } : { mode, variant };
    const { config, more } = agentSettings(this.#config);
    const agent = new AgentUnderTest(network.topology, TOPOLOGY, config, target, folder, more);
    agent.writeText(this.#text());
    return agent;
  }

  /** Traces every packet, and compares what is refused. */
  async #look(before: Cluster, isAll: boolean): Promise<void> {
    const { mode, variant } = this.#options;
    const listing = await this.#network.listing(mode, variant);
    const oracle = new Oracle(this.#cluster, this.#config);
    const wrong = [...this.#traceAll(listing, oracle, before, isAll), ...(await this.#refusals(oracle))];
    if (wrong.length > 0) this.#fail(wrong, listing);
  }

  #traceAll(listing: readonly string[], oracle: Oracle, before: Cluster, isAll: boolean): readonly string[] {
    const how = { isAll, random: this.#looks };
    try {
      const rules = new KernelRules(this.#options.mode, listing, this.#config.nodeAddresses);
      return destinations(before, this.#cluster, this.#config, how).flatMap((to) =>
        this.#packets(oracle, to).flatMap((packet) => this.#trace(rules, oracle, packet)),
      );
    } catch (error) {
      return [error instanceof Error ? `${error.name}: ${error.message}` : String(error)];
    }
  }

  #packets(oracle: Oracle, to: Destination): readonly Packet[] {
    const packets = packetsTo(to, []);
    const pod = packets.find(({ from }) => from === "pod");
    const own = pod === undefined ? [] : [...oracle.expect(pod).endpoints.keys()];
    if (own.length === 0) return packets;
    const text = this.#looks.pick(own);
    return packetsTo(to, [text.slice(0, text.lastIndexOf(":")).replace(/^\[(.*)\]$/, "$1")]);
  }

  #trace(rules: KernelRules, oracle: Oracle, packet: Packet): readonly string[] {
    const expected = oracle.expect(packet);
    const wrong: string[] = [];
    const follow = (memory: Memory, wanted: Expected): Trace => {
      this.counts.traced++;
      for (const verdict of wanted.verdicts.slice(0, 1)) this.counts.verdicts[verdict]++;
      const trace = rules.trace(packet, memory);
      const why = compare(wanted, trace, this.#options.mode);
      const who = memory.knownIn === undefined ? "" : `, client known in ${memory.knownIn}`;
      if (why !== undefined)
        wrong.push(
          `${packetText(packet)}${who}: ${why}\n  expected ${expectedText(wanted)}\n  traced   ${traceText(trace)}`,
        );
      return trace;
    };
    const { remembered } = follow({}, expected);
    if (expected.of?.hasAffinity === true && expected.endpoints.size !== remembered.size)
      wrong.push(
        `${packetText(packet)}: ${remembered.size} of ${expected.endpoints.size} endpoints remember their clients`,
      );
    for (const [list, text] of remembered) {
      const endpoint = expected.endpoints.get(text);
      // Who was led there before is led there again.
      if (endpoint !== undefined)
        follow({ knownIn: list }, { ...expected, endpoints: new Map([[text, { ...endpoint, share: 1 }]]) });
    }
    if (remembered.size > 0 && this.#options.mode === "nftables") follow({ isFull: true }, expected);
    return wrong;
  }

  /** Conflicts must be reported, and nothing else may have been refused. */
  async #refusals(oracle: Oracle): Promise<readonly string[]> {
    const refused = await this.#agent.refused();
    const conflicts = new Set<string>();
    this.counts.conflicts += oracle.claims.conflicts.size;
    const wrong: string[] = [];
    for (const { object, reason, field, message } of refused) {
      if (reason === "FrontendConflict") conflicts.add(`${object.namespace}/${object.name} ${field}`);
      else if (reason === "KernelRefused")
        wrong.push(`${object.namespace}/${object.name}: ${reason}: ${message}`);
    }
    for (const conflict of oracle.claims.conflicts)
      if (!conflicts.has(conflict)) wrong.push(`conflict is not reported: ${conflict}`);
    for (const conflict of conflicts)
      if (!oracle.claims.conflicts.has(conflict))
        wrong.push(`reported conflict that there is not: ${conflict}`);
    return wrong;
  }

  async #confirm(): Promise<void> {
    this.#network.place(this.#cluster);
    const oracle = new Oracle(this.#cluster, this.#config);
    const to = destinations(this.#cluster, this.#cluster, this.#config, {
      isAll: false,
      random: this.#looks,
    });
    const wrong = await this.#real.confirm(oracle, to, this.#looks);
    this.counts.connections = this.#real.connections;
    if (wrong.length === 0) return;
    const { mode, variant } = this.#options;
    this.#fail(
      wrong.map((line) => `real packet: ${line}`),
      await this.#network.listing(mode, variant),
    );
  }

  async #compareWithFreshStart(): Promise<void> {
    const { mode, variant } = this.#options;
    this.counts.freshStarts++;
    const network = new WalkNetwork();
    const agent = this.#startAgent(network);
    try {
      await agent.started();
      const walked = await this.#network.listing(mode, variant);
      const fresh = await network.listing(mode, variant);
      const isGuardLeft = this.#config.isGuardLeft && !opensLoopback(this.#config);
      const kept = isGuardLeft ? walked.map(withoutGuard) : walked;
      const lines = difference(normalise(mode, kept), normalise(mode, fresh));
      if (lines.length > 0) this.#fail(["the kernel's state is not that of a fresh start", ...lines], walked);
      const oracle = new Oracle(this.#cluster, { ...this.#config, isGuardLeft: false });
      const wrong = this.#traceAll(fresh, oracle, this.#cluster, true);
      if (wrong.length > 0) this.#fail(["of a fresh start:", ...wrong], fresh);
    } finally {
      await agent.stop();
      network.close();
    }
  }

  #fail(wrong: readonly string[], listing: readonly string[]): never {
    const { mode, variant, seed } = this.#options;
    writeFileSync(join(this.#folder, "objects.jsonl"), this.#text());
    for (const [i, text] of listing.entries()) writeFileSync(join(this.#folder, `listing${i}`), text);
    const { steps } = this.counts;
    const more = wrong.length > MOST_LINES ? [`… and ${wrong.length - MOST_LINES} more`] : [];
    throw new WalkFailed(
      [
        `step ${steps}: ${this.#done.join("; ") || "the first objects"}`,
        ...wrong.slice(0, MOST_LINES),
        ...more,
        `objects, listing and the agent's log: ${this.#folder}`,
        `replay: npm run walk -- --mode ${mode}${variant === undefined ? "" : ` --variant ${variant}`} --seed ${seed} --steps ${Math.max(steps, 1)}`,
      ].join("\n"),
    );
  }
}
