/** Soak of the resolver: see soak.ts. The generator reads versions from a file that it shares with this process. */
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { TYPE } from "../src/codec/dns/constants.ts";
import type { IpAddress } from "../src/model/ip.ts";
import { corefile, FORWARD, UPSTREAM_PORT } from "./dns.ts";
import { DnsLab, type DnsProcess } from "./dns-process.ts";
import { clusterQuestions, foreignQuestions, serviceDomain, writeQueries } from "./dns-queries.ts";
import { DnsSource } from "./dns-source.ts";
import { type Figure, percentile } from "./figure.ts";
import { benchService, benchSlice } from "./frames.ts";

const CHANGING = 50;
/** Names that are asked of an upstream each time, and names whose answers are kept for a second. */
const FORWARDED = 300;
const CACHED = 100;
/** The namespace is of this run alone. */
const METRICS = "127.0.0.1:19153";
const CHANGE_MS = 10;
/** Counted from here on: the first minute warms up, less in short runs. */
const WARM_SHARE = 0.1;
const MAX_GROWTH = 1.1;

export interface SoakOptions {
  readonly minutes: number;
  readonly services: number;
  readonly endpoints: number;
}

export interface SoakResult {
  readonly figures: readonly Figure[];
  readonly problems: readonly string[];
}

export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { minutes, services, endpoints } = options;
  const lab = new DnsLab();
  const source = await DnsSource.start(services, endpoints);
  const state = openSync(join(lab.folder, "versions"), "w");
  try {
    writeSync(state, Buffer.alloc(8 * CHANGING));
    const changing = Array.from({ length: CHANGING }, (_, i) => ({ name: serviceDomain(i), type: TYPE.A }));
    writeQueries(join(lab.folder, "queries"), [
      ...changing,
      ...clusterQuestions(services, services).slice(CHANGING),
      ...foreignQuestions(FORWARDED, "example.net."),
      ...foreignQuestions(CACHED),
    ]);
    await lab.cLoop(UPSTREAM_PORT, "load");
    const server = await lab.nodeplane(
      corefile([
        `prometheus ${METRICS}`,
        "kubernetes cluster.local in-addr.arpa ip6.arpa",
        "cache 1 example.com",
        FORWARD,
        "loadbalance",
      ]),
      source.flags,
    );
    await source.taken();
    const changes = new Changes(source, state, endpoints);
    for (let i = 0; i < CHANGING; i++) changes.next();
    await source.taken();
    changes.settle();
    const memory: number[] = [];
    const seconds = minutes * 60;
    const load = server.soak(join(lab.folder, "queries"), {
      seconds,
      state: join(lab.folder, "versions"),
      count: CHANGING,
    });
    const cpu = server.cpuSeconds();
    const result = await Promise.race([load, keepChanging(changes, server, memory)]);
    if (result === undefined) throw new Error("the changes ended before the load");
    const run = { memory, changes: changes.count, seconds, cpu: server.cpuSeconds() - cpu };
    return judge(result, { ...run, forwarded: await forwardedCount() });
  } finally {
    closeSync(state);
    await lab.close();
    await source.close();
  }
}

/** Questions that the engine has sent upstream. */
async function forwardedCount(): Promise<number> {
  const text = await (await fetch(`http://${METRICS}/metrics`)).text();
  return Number(/^nodeplane_dns_engine_forwarded_total (\d+)$/m.exec(text)?.[1] ?? 0);
}

class Changes {
  count = 0;
  readonly #source: DnsSource;
  readonly #state: number;
  readonly #endpoints: number;
  readonly #versions = new Uint32Array(CHANGING);
  /** Services with changes that the resolver may not have yet, by revision. */
  #open: { readonly revision: number; readonly index: number; readonly version: number }[] = [];

  constructor(source: DnsSource, state: number, endpoints: number) {
    this.#source = source;
    this.#state = state;
    this.#endpoints = endpoints;
  }

  /** The address says the version; endpoints come and go with it. */
  next(): void {
    const index = this.count % CHANGING;
    const version = (this.#versions[index] ?? 0) + 1;
    this.#versions[index] = version;
    this.#write(8 * index, version);
    const address = `10.${(version >> 16) & 255}.${(version >> 8) & 255}.${version & 255}` as IpAddress;
    const slice = benchSlice(index, this.#endpoints, Math.max(1, this.#endpoints - (version % 3)));
    this.#source.source.apply(
      [{ ...benchService(index, "cluster-ip"), clusterIPs: [address] }, slice],
      Date.now(),
    );
    this.#open.push({ revision: this.#source.source.revision, index, version });
    this.count++;
  }

  /** What the resolver has acknowledged is what later questions must see. */
  settle(): void {
    while (this.#open[0] !== undefined && this.#source.hasTaken(this.#open[0].revision)) {
      const done = this.#open.shift();
      if (done !== undefined) this.#write(8 * done.index + 4, done.version);
    }
  }

  #write(at: number, version: number): void {
    writeSync(this.#state, new Uint8Array(Uint32Array.of(version).buffer), 0, 4, at);
  }
}

/** Changes at their rate, whatever time one takes; never ends by itself. */
async function keepChanging(changes: Changes, server: DnsProcess, memory: number[]): Promise<undefined> {
  const start = performance.now();
  let made = 0;
  for (;;) {
    changes.settle();
    while (made < (performance.now() - start) / CHANGE_MS) {
      changes.next();
      if (made++ % (1_000 / CHANGE_MS) === 0) memory.push(server.memory().privateMb);
    }
    await sleep(1);
  }
}

interface Seen {
  readonly sent: number;
  readonly answered: number;
  readonly bad: number;
  readonly p50: number;
  readonly p99: number;
  readonly stale: number;
}

function judge(
  seen: Seen,
  run: {
    readonly memory: readonly number[];
    readonly changes: number;
    readonly forwarded: number;
    readonly seconds: number;
    readonly cpu: number;
  },
): SoakResult {
  const warm = run.memory.slice(Math.ceil(run.memory.length * WARM_SHARE));
  const half = Math.floor(warm.length / 2);
  const [before, after] = [percentile(warm.slice(0, half), 0.5), percentile(warm.slice(half), 0.5)];
  const figures: Figure[] = [
    { figure: "soak_seconds", value: run.seconds, unit: "s" },
    { figure: "soak_answers", value: seen.answered, unit: "count" },
    { figure: "soak_lost", value: seen.sent - seen.answered - seen.bad, unit: "count" },
    { figure: "soak_bad", value: seen.bad, unit: "count" },
    { figure: "soak_stale", value: seen.stale, unit: "count" },
    { figure: "soak_forwarded", value: run.forwarded, unit: "count" },
    { figure: "soak_changes", value: run.changes, unit: "count" },
    { figure: "soak_per_cpu_second", value: seen.answered / run.cpu, unit: "1/s" },
    { figure: "soak_p50", value: seen.p50, unit: "us" },
    { figure: "soak_p99", value: seen.p99, unit: "us" },
    { figure: "soak_private_first_half", value: before, unit: "MB" },
    { figure: "soak_private_second_half", value: after, unit: "MB" },
    { figure: "soak_private_most", value: Math.max(...run.memory), unit: "MB" },
  ];
  const problems: string[] = [];
  if (seen.answered === 0) problems.push("nothing was answered");
  if (run.forwarded === 0) problems.push("nothing was forwarded");
  if (seen.bad > 0) problems.push(`${seen.bad} replies did not fit their questions`);
  if (seen.stale > 0) problems.push(`${seen.stale} answers were of no moment between question and reply`);
  if (after > before * MAX_GROWTH)
    problems.push(`memory grew from ${before.toFixed(1)} to ${after.toFixed(1)} MB`);
  const wanted = (run.seconds * 1_000) / CHANGE_MS;
  if (run.changes < wanted * 0.8) problems.push(`only ${run.changes} changes of ${wanted} could be made`);
  return { figures, problems };
}
