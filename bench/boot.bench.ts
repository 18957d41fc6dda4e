/**
 * Benchmarks. A process that boots like an agent after a restart: state from disk, table from the kernel. Run by
 * `restart` and `memory` with the folder of the state as its argument; prints one JSON object.
 */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { AgentCore } from "./agent-core.ts";
import { benchSlice, changeMessage } from "./frames.ts";

const MEGABYTE = 1024 * 1024;

function memory(): { readonly residentMb: number; readonly privateMb: number } {
  const text = readFileSync("/proc/self/smaps_rollup", "utf8");
  const of = (name: string) =>
    (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0) * 1024) / MEGABYTE;
  return { residentMb: of("Rss"), privateMb: of("Anonymous") };
}

/** What a whole agent has loaded beside the path measured here. */
async function loadTheRest(): Promise<void> {
  await Promise.all([import("@grpc/grpc-js"), import("pino"), import("prom-client")]);
}

async function main(dir: string, what: string, execAtMs: number, endpoints: number): Promise<void> {
  if (what === "memory") await loadTheRest();
  const core = new AgentCore(dir);
  const generation = core.ip.generation();
  await core.receiver.restore();
  await core.live();
  const doneMs = performance.now();
  const cpu = process.cpuUsage();
  const result = {
    userMs: cpu.user / 1_000,
    systemMs: cpu.system / 1_000,
    restartMs: doneMs - (core.ip.firstReadMs ?? 0),
    fromExecMs: Date.now() - execAtMs,
    commits: core.commits,
    generations: core.ip.generation() - generation,
  };
  if (what === "memory") {
    // A life of some changes, as an agent has it.
    for (let i = 0; i < 2_000; i++) {
      await core.receiver.take(changeMessage(i + 2, benchSlice(i % 500, endpoints, endpoints, i % 2)));
      if (i % 100 === 0) await sleep(10);
    }
    await sleep(2_000);
  }
  process.stdout.write(`${JSON.stringify({ ...result, ...memory() })}\n`);
  process.exit(0);
}

await main(
  process.argv[2] ?? "",
  process.argv[3] ?? "restart",
  Number(process.argv[4]),
  Number(process.argv[5]),
);
