/** Benchmark `sync`: everything from empty, from the first frame until the last batch is live. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgentCore } from "./agent-core.ts";
import type { Bench, BenchOptions, Figure } from "./figure.ts";
import { percentile } from "./figure.ts";
import type { Mix } from "./frames.ts";
import { snapshotMessages, welcome } from "./frames.ts";

const ROUNDS = 3;

interface Round {
  readonly seconds: number;
  /** User and system time of the process: what a busy machine disturbs least. */
  readonly cpuSeconds: number;
}

async function once(options: BenchOptions, mix: Mix): Promise<Round> {
  const dir = mkdtempSync(join(tmpdir(), "nodeplane-bench-"));
  const messages = [welcome(), ...snapshotMessages(options.services, options.endpoints, mix)];
  const core = new AgentCore(dir);
  await core.store.load();
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  await core.take(messages);
  await core.live();
  const seconds = (performance.now() - startMs) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  core.ip.commit([{ op: "delete-table" }]);
  core.ip6.commit([{ op: "delete-table" }]);
  await core.stop();
  rmSync(dir, { recursive: true });
  return { seconds, cpuSeconds: (user + system) / 1e6 };
}

/** Median of three in one process, the first of them cold. */
export const bench: Bench = async (options) => {
  const figures: Figure[] = [];
  for (const mix of ["cluster-ip", "node-port"] as const) {
    const rounds: Round[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      options.say(`sync ${mix} ${options.services} x ${options.endpoints}, round ${round + 1}`);
      rounds.push(await once(options, mix));
    }
    const name = mix === "cluster-ip" ? "full_sync" : "full_sync_node_port";
    const middle = (of: (round: Round) => number) => percentile(rounds.map(of), 0.5);
    figures.push({ figure: `${name}_first`, value: rounds[0]?.seconds ?? 0, unit: "s" });
    figures.push({ figure: name, value: middle((round) => round.seconds), unit: "s" });
    figures.push({ figure: `${name}_cpu`, value: middle((round) => round.cpuSeconds), unit: "s" });
  }
  return figures;
};
