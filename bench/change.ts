/** Benchmark `change`: one endpoint changes; from its frame to the kernel's acknowledgement. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgentCore } from "./agent-core.ts";
import type { Bench, BenchOptions, Figure } from "./figure.ts";
import { percentile } from "./figure.ts";
import type { Mix } from "./frames.ts";
import { benchSlice, changeMessage, snapshotMessages, welcome } from "./frames.ts";

const WARM_UP = 300;
const SAMPLES = 2_000;
/** Far apart, so that caches are cold as they are in life. */
const STRIDE = 7_919;
const PAUSE_EVERY = 50;

interface Variant {
  readonly name: string;
  readonly mix: Mix;
  readonly slice: (service: number, round: number) => ReturnType<typeof benchSlice>;
}

async function measure(options: BenchOptions, variant: Variant): Promise<readonly Figure[]> {
  const dir = mkdtempSync(join(tmpdir(), "nodeplane-bench-"));
  const core = new AgentCore(dir);
  await core.store.load();
  await core.take([welcome(), ...snapshotMessages(options.services, options.endpoints, variant.mix)]);
  await core.live();
  const totals: number[] = [];
  const kernel: number[] = [];
  for (let i = 0; i < WARM_UP + SAMPLES; i++) {
    const service = (Math.floor(i / 2) * STRIDE) % options.services;
    const message = changeMessage(i + 2, variant.slice(service, i % 2));
    const startMs = performance.now();
    const pending = core.receiver.take(message);
    const elapsedMs = performance.now() - startMs;
    if (core.programmed !== BigInt(i + 2)) throw new Error(`change ${i} is not in the kernel`);
    await pending;
    if (i % PAUSE_EVERY === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    if (i < WARM_UP) continue;
    totals.push(elapsedMs * 1_000);
    kernel.push(core.ip.lastCommitMs * 1_000);
  }
  await core.live();
  core.ip.commit([{ op: "delete-table" }]);
  core.ip6.commit([{ op: "delete-table" }]);
  await core.stop();
  rmSync(dir, { recursive: true });
  const figure = (name: string, value: number): Figure => ({
    figure: `change${variant.name}_${name}`,
    value,
    unit: "us",
  });
  return [
    figure("p50", percentile(totals, 0.5)),
    figure("p99", percentile(totals, 0.99)),
    figure("driver_p50", percentile(kernel, 0.5)),
  ];
}

/** Replaced endpoint; crossing a size class, which changes a verdict; the same with node ports beside. */
export const bench: Bench = async (options) => {
  const { endpoints } = options;
  const replaced = (i: number, round: number) => benchSlice(i, endpoints, endpoints, 1 - round);
  const figures: Figure[] = [];
  const variants: Variant[] = [
    { name: "", mix: "cluster-ip", slice: replaced },
    {
      name: "_verdict",
      mix: "cluster-ip",
      slice: (i, round) => benchSlice(i, endpoints, round === 0 ? 4 : 5),
    },
    { name: "_node_port", mix: "node-port", slice: replaced },
  ];
  for (const variant of variants) {
    options.say(`change${variant.name} ${options.services} x ${endpoints}`);
    figures.push(...(await measure(options, variant)));
  }
  return figures;
};
