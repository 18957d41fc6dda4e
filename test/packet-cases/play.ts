/**
 * Packet cases: plays the cases of one file on one network. Cases are grouped by agent configuration (a new agent each)
 * and fixture (new objects each); within a group they run side by side, except those that change the network.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ipFamily, parseIp } from "../../src/model/ip.ts";
import { PATIENCE, STRETCH } from "../support/patience.ts";
import { KernelRules, readListing } from "../walk/kernel.ts";
import { AgentUnderTest } from "./agent.ts";
import type { Case, CaseFile, Expectation, Mode, Protocol } from "./case-file.ts";
import { expectationText, judge, outcomesText } from "./judge.ts";
import { NetProbe, type Outcomes } from "./netprobe.ts";
import { PacketTopology } from "./topology.ts";
import { tracedFailure } from "./traced.ts";

/** Cases that run at once: thousands of connections at a time are more than an emulated machine answers within their time. */
const SIDE_BY_SIDE = PATIENCE > 1 ? 4 : Number.POSITIVE_INFINITY;
/** Attempts for a case that expects several backends, one, or none; 96 miss one of three backends once in 10^17. */
const ATTEMPTS = { several: PATIENCE > 1 ? 96 : 240, severalRaw: 64, one: 24, none: 6 };
const ANSWER_TIMEOUT_MS = 3_000 * PATIENCE;
/** How long nothing may come back for a packet that must be dropped: covers a TCP client's first repetition. */
const SILENCE_MS = 1_500 * Math.min(2, STRETCH);
/** Addresses that no case uses, answered beyond the node. */
const CONTROL = { ip: "198.51.100.77", ip6: "2001:db8:fd::77", port: 64_999 };

export interface Verdict {
  readonly id: string;
  /** Why the case failed; absent: it passed. */
  readonly failure?: string;
}

export interface PlayOptions {
  readonly file: CaseFile;
  readonly cases: readonly (Case & { readonly expect: Expectation })[];
  readonly mode: Mode;
  /** iptables mode: legacy or nft; absent: what plain iptables is. */
  readonly variant?: string;
  readonly onVerdict: (verdict: Verdict) => void;
}

function groupBy<T>(items: readonly T[], key: (item: T) => string): readonly (readonly T[])[] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group === undefined) groups.set(key(item), [item]);
    else group.push(item);
  }
  return [...groups.values()];
}

function familyOf(address: string): "ip" | "ip6" {
  const parsed = parseIp(address);
  return parsed === undefined ? "ip" : ipFamily(parsed);
}

class Player {
  readonly #options: PlayOptions;
  readonly #network: PacketTopology;
  readonly #probe: NetProbe;
  readonly #folder: string;
  /** Listeners for packets that nobody captured, by namespace, protocol, address and port. */
  readonly #uncaptured = new Map<string, Promise<void>>();

  constructor(options: PlayOptions, network: PacketTopology, probe: NetProbe, folder: string) {
    this.#options = options;
    this.#network = network;
    this.#probe = probe;
    this.#folder = folder;
  }

  async run(): Promise<void> {
    await this.#listen();
    let number = 0;
    for (const group of groupBy(this.#options.cases, (item) => JSON.stringify(item.config))) {
      const folder = join(this.#folder, `agent${number++}`);
      mkdirSync(folder);
      await this.#withAgent(group, folder);
    }
  }

  async #listen(): Promise<void> {
    const ports = new Map<string, { proto: Protocol; port: number; address: string; local: boolean }>();
    for (const services of this.#options.file.fixtures.values()) {
      for (const service of services) {
        for (const { addr: address, local } of service.endpoints) {
          for (const { proto, targetPort: port } of service.ports) {
            ports.set([proto, port, address, local].join(" "), { proto, port, address, local });
          }
        }
      }
    }
    const open = [...ports.values()].map(({ proto, port, address, local }) => {
      const netns = this.#network.netns(this.#network.backendRole(address, local));
      return this.#probe.listen(netns, proto, address, port, "backend");
    });
    const controlAddresses = [CONTROL.ip, CONTROL.ip6];
    for (const address of controlAddresses) this.#network.claimBeyondNode(address);
    const controls = controlAddresses.map((address) =>
      this.#probe.listen(this.#network.netns("out"), "TCP", address, CONTROL.port, "control"),
    );
    await Promise.all([...open, ...controls]);
  }

  async #withAgent(cases: PlayOptions["cases"], folder: string): Promise<void> {
    const { file } = this.#options;
    const [first] = cases;
    if (first === undefined) return;
    const agent = new AgentUnderTest(this.#network, file.topology, first.config, this.#options, folder);
    try {
      await agent.started();
      for (const group of groupBy(cases, (item) => `${item.fixture} ${item.zone ?? ""}`)) {
        await this.#withFixture(agent, group);
      }
    } finally {
      await agent.stop();
    }
  }

  async #withFixture(agent: AgentUnderTest, cases: PlayOptions["cases"]): Promise<void> {
    const [first] = cases;
    const services = this.#options.file.fixtures.get(first?.fixture ?? "") ?? [];
    this.#network.route(services);
    await agent.apply(services, first?.zone);
    // A port that a client of the fixture before has used is new to this one.
    await this.#probe.forgetConnections(this.#network.netns("node"));
    const rules = await this.#kernelRules(cases);
    const alone = cases.filter((item) => this.#changesNetwork(item));
    const together = cases.filter((item) => !alone.includes(item));
    for (let at = 0; at < together.length; at += SIDE_BY_SIDE)
      await Promise.all(together.slice(at, at + SIDE_BY_SIDE).map((item) => this.#play(item, rules)));
    for (const item of alone) await this.#play(item, rules);
  }

  /** What the kernel says that it holds, for modes whose rules can be traced. */
  async #kernelRules(cases: PlayOptions["cases"]): Promise<KernelRules | undefined> {
    const { mode, variant } = this.#options;
    if (mode === "ipvs") return undefined;
    const listing = await readListing(this.#network.netns("node"), mode, variant);
    // Cases that make an address the node's own hold it only while they are played.
    const held = cases.filter((item) => this.#isHeld(item)).flatMap(({ packet }) => packet.src ?? []);
    return new KernelRules(mode, listing, [...this.#network.nodeAddresses(), ...held]);
  }

  #isLoopback(address: string): boolean {
    return address === "::1" || address.startsWith("127.");
  }

  /** A node that talks to itself by a foreign address, a stranger that sends to a loopback address, a closed INPUT chain. */
  #changesNetwork({ packet, expect }: Case): boolean {
    // A ping is to no port: nothing opens the INPUT chain for it.
    if (expect?.result === "ACCEPT" && packet.proto !== "ICMP") return true;
    return this.#isHeld({ packet }) || (this.#isLoopback(packet.dst) && !packet.from.startsWith("node"));
  }

  /** The node sends it by an address that is not its own. */
  #isHeld({ packet }: Pick<Case, "packet">): boolean {
    return (
      packet.from.startsWith("node") &&
      packet.src !== undefined &&
      !this.#isLoopback(packet.src) &&
      !this.#network.nodeAddresses().includes(packet.src)
    );
  }

  async #play(item: PlayOptions["cases"][number], rules: KernelRules | undefined): Promise<void> {
    const { packet } = item;
    let undo: (() => void) | undefined;
    let failure: string | undefined;
    try {
      if (this.#changesNetwork(item)) {
        const loopback = this.#isLoopback(packet.dst);
        if (item.expect.result === "ACCEPT") undo = this.#closeInput(packet.dst);
        else
          undo = loopback
            ? this.#network.exposeLoopback(packet.dst)
            : this.#network.holdOnNode(packet.src ?? packet.dst);
      }
      failure = await this.#attempt(item);
      if (rules !== undefined) failure ??= tracedFailure(rules, item, this.#sourceOf(item));
    } catch (error) {
      failure = `cannot be played: ${(error as Error).message}`;
    } finally {
      undo?.();
    }
    this.#options.onVerdict({ id: item.id, ...(failure === undefined ? {} : { failure }) });
  }

  /** The node's INPUT policy becomes DROP: what is let through now is let through by a rule. */
  #closeInput(destination: string): () => void {
    const name = familyOf(destination) === "ip" ? "iptables" : "ip6tables";
    const command = this.#options.variant === undefined ? name : `${name}-${this.#options.variant}`;
    const policy = (target: string) =>
      void this.#network.namespaces.run("node", command, "-w", "-P", "INPUT", target);
    policy("DROP");
    return () => policy("ACCEPT");
  }

  async #attempt(item: PlayOptions["cases"][number]): Promise<string | undefined> {
    const { packet, expect } = item;
    const source = this.#sourceOf(item);
    const role = this.#roleOf(item);
    if (packet.src !== undefined && (role === "pod" || role === "ext")) {
      this.#network.addClientAddress(role, packet.src);
    }
    await this.#catchUncaptured(item);
    const silent = expect.result === "DROP";
    const several = packet.proto === "SCTP" ? ATTEMPTS.severalRaw : ATTEMPTS.several;
    const wanted = expect.backends.length;
    const count = wanted > 1 ? several : wanted === 1 ? ATTEMPTS.one : ATTEMPTS.none;
    const netns = this.#network.netns(role);
    const order = { netns, proto: packet.proto, source, destination: packet.dst, port: packet.port };
    const timeoutMs = silent ? SILENCE_MS : ANSWER_TIMEOUT_MS;
    const ownSource = this.#isLoopback(source) || this.#changesNetwork(item);
    const control = (): Promise<Outcomes> => this.#control(netns, source, !ownSource);
    const before = silent ? [await control()] : [];
    const outcomes = await this.#probe.probe({ ...order, count, timeoutMs });
    const after = silent ? [await control()] : [];
    const failure = judge(expect, {
      outcomes,
      controls: [...before, ...after],
      clientAddress: source,
      nodeAddresses: this.#network.nodeAddresses(),
    });
    if (failure === undefined) return undefined;
    return `expected ${expectationText(expect)}\n  seen     ${outcomesText(outcomes)}\n  ${failure}`;
  }

  #sourceOf({ packet }: Case): string {
    return packet.src ?? this.#options.file.topology.addresses[packet.from] ?? "";
  }

  #roleOf({ packet, fixture }: Case): string {
    if (packet.from !== "endpoint") return packet.from.split("_")[0] ?? "";
    const endpoints = (this.#options.file.fixtures.get(fixture) ?? []).flatMap(
      (service) => service.endpoints,
    );
    const found = endpoints.find((endpoint) => endpoint.addr === packet.src);
    if (found === undefined) throw new Error(`${packet.src} is no endpoint of the fixture`);
    return this.#network.backendRole(found.addr, found.local);
  }

  /** One connection that must be answered; `bound`: from the very address of the case. */
  #control(netns: string, source: string, bound: boolean): Promise<Outcomes> {
    const destination = CONTROL[familyOf(source)];
    return this.#probe.probe({
      netns,
      proto: "TCP",
      ...(bound ? { source } : {}),
      destination,
      port: CONTROL.port,
      count: 1,
      timeoutMs: ANSWER_TIMEOUT_MS,
    });
  }

  /** Listens where a packet arrives that nobody captures: beyond the node, and on the node for its own addresses. */
  async #catchUncaptured({ packet, fixture }: Case): Promise<void> {
    const own = this.#network.nodeAddresses().includes(packet.dst) || this.#isLoopback(packet.dst);
    const roles = own ? ["node"] : packet.src === packet.dst ? ["node", "out"] : ["out"];
    if (roles.includes("out")) this.#network.claimBeyondNode(packet.dst);
    if (packet.proto === "ICMP") return;
    const services = this.#options.file.fixtures.get(fixture) ?? [];
    const isHealthPort = services.some(({ spec }) => spec["healthCheckNodePort"] === packet.port);
    await Promise.all(
      roles.map((role) => {
        const key = [role, packet.proto, packet.dst, packet.port].join(" ");
        const listening =
          this.#uncaptured.get(key) ??
          this.#probe
            .listen(this.#network.netns(role), packet.proto, packet.dst, packet.port, "none")
            .then(() => undefined)
            .catch((error: Error) => {
              // The agent itself answers on a health check port, and that packets get there is what the case asks.
              if (packet.proto !== "TCP" || !isHealthPort || !error.message.includes("EADDRINUSE"))
                throw error;
            });
        this.#uncaptured.set(key, listening);
        return listening;
      }),
    );
  }
}

/** Plays `options.cases`; every case gets one verdict unless the network or the agent cannot be started. */
export async function play(options: PlayOptions): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "nodeplane-packets-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  process.once("exit", remove);
  const network = new PacketTopology(options.file);
  const probe = new NetProbe();
  try {
    await new Player(options, network, probe, folder).run();
  } finally {
    probe.end();
    network.close();
    process.off("exit", remove);
    remove();
  }
}
