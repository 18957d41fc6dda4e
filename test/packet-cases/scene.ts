/**
 * Packet cases: a scene for cases in several steps: network, agent and flows that last. One scene serves many cases; each
 * begins with objects of its own.
 */
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { IptablesVariant } from "../../src/drivers/iptables/driver.ts";
import { PATIENCE } from "../support/patience.ts";
import { until } from "../support/until.ts";
import { AgentUnderTest, lockFileBeside } from "./agent.ts";
import type {
  AgentConfig,
  CaseFile,
  FixtureEndpoint,
  FixturePort,
  FixtureService,
  Mode,
  Protocol,
} from "./case-file.ts";
import { MODES, readCaseFile } from "./case-file.ts";
import { answersIn } from "./judge.ts";
import { type HttpAnswer, NetProbe } from "./netprobe.ts";
import type { NodeFields } from "./objects.ts";
import { PacketTopology } from "./topology.ts";

const FILE = join(import.meta.dirname, "../cases/packet-cases.yaml");
const TOOL = join(import.meta.dirname, "flow-tool.ts");
const CONNECT_MS = 2_000 * PATIENCE;

/** Mode under test: NODEPLANE_TEST_MODE, nftables if it is not set. */
export function modeUnderTest(): Mode {
  const wanted = process.env["NODEPLANE_TEST_MODE"] ?? "nftables";
  const mode = MODES.find((name) => name === wanted);
  if (mode === undefined) throw new Error(`NODEPLANE_TEST_MODE must be one of ${MODES.join(", ")}`);
  return mode;
}

/** NODEPLANE_TEST_VARIANT: legacy or nft. In iptables mode the commands to use end with it. */
export function variantUnderTest(): IptablesVariant | undefined {
  const wanted = process.env["NODEPLANE_TEST_VARIANT"];
  if (wanted === undefined || wanted === "legacy" || wanted === "nft") return wanted;
  throw new Error("NODEPLANE_TEST_VARIANT must be legacy or nft");
}

/** Waits until `check` returns something. @throws after `timeoutMs`, later where the machine is slow */
export async function eventually<T>(
  what: string,
  timeoutMs: number,
  check: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  let result: T | undefined | false;
  const holds = async () => {
    result = await check();
    return result !== undefined && result !== false;
  };
  await until(holds, what, timeoutMs);
  if (result === undefined || result === false) throw new Error(`unreachable: ${what}`);
  return result;
}

/** A process in a namespace whose lines are kept. */
export class Flow {
  readonly lines: string[] = [];
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout !== null)
      createInterface({ input: child.stdout }).on("line", (line) => this.lines.push(line));
  }

  opened(): Promise<unknown> {
    return eventually("flow opens", 20_000, () => this.lines.length > 0);
  }

  /** The next line from now on that matches. */
  next(pattern: RegExp, timeoutMs = 15_000): Promise<string> {
    const from = this.lines.length;
    return eventually(`a line ${pattern} after ${this.lines.slice(-3).join("; ")}`, timeoutMs, () =>
      this.lines.slice(from).find((line) => pattern.test(line)),
    );
  }

  end(): void {
    this.#child.kill("SIGKILL");
  }
}

/** What became of connections. */
export interface Connected {
  /** Who answered, as `address:port`, sorted, and how often. */
  readonly backends: readonly string[];
  readonly counts: ReadonlyMap<string, number>;
  /** Addresses that backends saw. */
  readonly clients: readonly string[];
  /** What else happened. */
  readonly others: readonly string[];
}

export class Scene {
  readonly mode = modeUnderTest();
  readonly file: CaseFile;
  readonly network: PacketTopology;
  readonly probe = new NetProbe();
  readonly config: AgentConfig;
  readonly #folder = mkdtempSync(join(tmpdir(), "nodeplane-scene-"));
  readonly #more: Readonly<Record<string, unknown>>;
  readonly #flows: Flow[] = [];
  readonly #listeners = new Map<string, string>();
  #agents = 0;
  #agent: AgentUnderTest | undefined;

  /** @param fixtures those whose backends the network has */
  constructor(
    fixtures: readonly string[],
    more: Readonly<Record<string, unknown>> = {},
    config: Partial<AgentConfig> = {},
  ) {
    const file = readCaseFile(FILE, this.mode);
    this.file = {
      ...file,
      fixtures: new Map([...file.fixtures].filter(([name]) => fixtures.includes(name))),
    };
    const [first] = file.cases;
    if (first === undefined) throw new Error("no cases");
    this.config = {
      masqueradeAll: false,
      masqueradeBit: 14,
      detectLocalMode: "ClusterCIDR",
      localhostNodePorts: false,
      nodePortAddresses: this.mode === "nftables" ? ["192.168.0.2/32", "2001:db8::1/128"] : [],
      ...config,
    };
    this.#more = more;
    this.network = new PacketTopology(this.file);
  }

  /** What the agent's commands lock in the legacy variant. */
  get lockFile(): string {
    return lockFileBeside(join(this.#folder, "agent"));
  }

  get agent(): AgentUnderTest {
    if (this.#agent === undefined) throw new Error("no agent was started");
    return this.#agent;
  }

  /** The only service of a fixture, or the one named. */
  fixture(name: string, service?: string): FixtureService {
    const services = this.file.fixtures.get(name) ?? [];
    const found = services.find((item) => service === undefined || item.name === service);
    if (found === undefined) throw new Error(`no fixture ${name}`);
    return found;
  }

  /** Starts an agent, with objects that are there from the start. */
  async startAgent(
    options: { readonly wait?: boolean; readonly services?: readonly FixtureService[] } = {},
  ): Promise<AgentUnderTest> {
    const folder = mkdtempSync(join(this.#folder, `agent${this.#agents++}-`));
    const variant = variantUnderTest();
    const target = { mode: this.mode, ...(variant === undefined ? {} : { variant }) };
    const { network, config } = this;
    this.#agent = new AgentUnderTest(network, this.file.topology, config, target, folder, this.#more);
    this.#agent.write(options.services ?? []);
    if (options.wait !== false) await this.#agent.started();
    return this.#agent;
  }

  async apply(services: readonly FixtureService[], node: NodeFields = {}): Promise<void> {
    this.network.route(services);
    await this.agent.apply(services, undefined, node);
  }

  /** Starts the tool in the namespace of a role. */
  async flow(role: string, ...words: readonly (string | number)[]): Promise<Flow> {
    const child = this.network.namespaces.spawn(role, process.execPath, [TOOL, ...words.map(String)], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const flow = new Flow(child);
    this.#flows.push(flow);
    await flow.opened();
    return flow;
  }

  /** Listeners that answer, at endpoints. */
  async listen(endpoints: readonly FixtureEndpoint[], proto: Protocol, port: number): Promise<void> {
    for (const { addr, local } of endpoints) {
      const key = `${addr} ${local} ${proto} ${port}`;
      if (this.#listeners.has(key)) continue;
      const netns = this.network.netns(this.network.backendRole(addr, local));
      this.#listeners.set(key, await this.probe.listen(netns, proto, addr, port, "backend"));
    }
  }

  async unlisten(): Promise<void> {
    for (const id of this.#listeners.values()) await this.probe.close(id);
    this.#listeners.clear();
  }

  /** Connects `count` times. */
  async connect(
    role: string,
    destination: string,
    port: number,
    count: number,
    more: { readonly source?: string; readonly proto?: Protocol } = {},
  ): Promise<Connected> {
    const outcomes = await this.probe.probe({
      netns: this.network.netns(role),
      proto: more.proto ?? "TCP",
      ...(more.source === undefined ? {} : { source: more.source }),
      destination,
      port,
      count,
      timeoutMs: CONNECT_MS,
    });
    const answers = answersIn(outcomes);
    const counts = new Map<string, number>();
    for (const { own, count: answered } of answers) counts.set(own, (counts.get(own) ?? 0) + answered);
    return {
      backends: [...counts.keys()].sort(),
      counts,
      clients: [...new Set(answers.map(({ peer }) => peer))].sort(),
      others: Object.keys(outcomes).filter((outcome) => !outcome.startsWith("answer backend ")),
    };
  }

  /** One HTTP request from the namespace of a role. */
  get(role: string, url: string): Promise<HttpAnswer> {
    return this.probe.http(this.network.netns(role), new URL(url), CONNECT_MS);
  }

  endFlows(): void {
    for (const flow of this.#flows.splice(0)) flow.end();
  }

  async close(): Promise<void> {
    this.endFlows();
    await this.#agent?.stop();
    this.probe.end();
    this.network.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A service with other endpoints. */
export function withEndpoints(
  service: FixtureService,
  endpoints: readonly FixtureEndpoint[],
): FixtureService {
  return { ...service, endpoints };
}

/** The same service over UDP, all its ports. */
export function overUdp(service: FixtureService): FixtureService {
  return { ...service, ports: service.ports.map((port): FixturePort => ({ ...port, proto: "UDP" })) };
}

/** The address of a backend that answered: `answer backend 10.0.0.1:53 …`. */
export function backendIn(line: string): string {
  return line.split(" ")[2] ?? "";
}
