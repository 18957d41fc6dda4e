/** Benchmarks `restart` and `memory`: a process that boots from its state on disk beside a table that is right or missing. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { AgentCore } from "./agent-core.ts";
import type { Bench, BenchOptions } from "./figure.ts";
import { percentile } from "./figure.ts";
import { snapshotMessages, welcome } from "./frames.ts";

interface Booted {
  readonly restartMs: number;
  readonly fromExecMs: number;
  readonly userMs: number;
  readonly systemMs: number;
  readonly commits: number;
  readonly generations: number;
  readonly residentMb: number;
  readonly privateMb: number;
}

const ROUNDS = 3;
/** Of the agent's own start: a small young generation costs some collections and saves 50 MB after a full sync. */
const FLAGS = ["--disable-warning=ExperimentalWarning", "--max-semi-space-size=2"];

/** Bundles the booting process as the release is bundled: types are not stripped at start, nothing unused is loaded. */
async function bundle(dir: string): Promise<string> {
  await build({
    entryPoints: [join(import.meta.dirname, "boot.bench.ts")],
    outfile: join(dir, "boot.mjs"),
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node24",
    minifySyntax: true,
    minifyWhitespace: true,
    logLevel: "error",
    external: ["*.node"],
    banner: {
      js: 'import{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);',
    },
  });
  cpSync(join(import.meta.dirname, "../native/build/nodeplane.node"), join(dir, "nodeplane.node"));
  return join(dir, "boot.mjs");
}

function boot(dir: string, what: "restart" | "memory", options: BenchOptions): Booted {
  const args = [join(dir, "boot.mjs"), dir, what, String(Date.now()), String(options.endpoints)];
  return JSON.parse(execFileSync(process.execPath, [...FLAGS, ...args], { encoding: "utf8" })) as Booted;
}

/** Programs everything and leaves table and state behind. */
async function prepare(options: BenchOptions): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), "nodeplane-bench-"));
  const core = new AgentCore(dir);
  await core.store.load();
  await core.take([welcome(), ...snapshotMessages(options.services, options.endpoints, "cluster-ip")]);
  await core.live();
  await core.stop();
  return dir;
}

/** Nothing changed while the agent was away: it must find that out, and write nothing. */
export const bench: Bench = async (options) => {
  options.say(`restart ${options.services} x ${options.endpoints}`);
  const dir = await prepare(options);
  await bundle(dir);
  const boots = Array.from({ length: ROUNDS }, () => boot(dir, "restart", options));
  rmSync(dir, { recursive: true });
  const wrote = boots.find((one) => one.commits > 0 || one.generations > 0);
  if (wrote !== undefined) throw new Error(`the restarted agent wrote: ${JSON.stringify(wrote)}`);
  return [
    {
      figure: "restart",
      value: percentile(
        boots.map((one) => one.restartMs),
        0.5,
      ),
      unit: "ms",
    },
    {
      figure: "restart_from_exec",
      value: percentile(
        boots.map((one) => one.fromExecMs),
        0.5,
      ),
      unit: "ms",
    },
    {
      figure: "restart_cpu",
      value: percentile(
        boots.map((one) => one.userMs + one.systemMs),
        0.5,
      ),
      unit: "ms",
    },
    { figure: "restart_writes", value: 0, unit: "count" },
  ];
};

export const memoryBench: Bench = async (options) => {
  options.say(`memory ${options.services} x ${options.endpoints}`);
  const dir = await prepare(options);
  await bundle(dir);
  const booted = boot(dir, "memory", options);
  rmSync(dir, { recursive: true });
  return [
    { figure: "private", value: booted.privateMb, unit: "MB" },
    { figure: "rss", value: booted.residentMb, unit: "MB" },
  ];
};
