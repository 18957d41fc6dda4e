/**
 * Benchmark `change` of ipvs mode: one endpoint changes; from its frame to the kernel's acknowledgement. Beside it `ipvsadm -R` with
 * the two lines that do the same, its own start included, as whoever calls it pays for that.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Bench } from "./figure.ts";
import { percentile } from "./figure.ts";
import { benchSlice, changeMessage, snapshotMessages, welcome } from "./frames.ts";
import { IpvsCore, ipvsadm } from "./ipvs-core.ts";

const WARM_UP = 100;
const SAMPLES = 500;
const PEER_SAMPLES = 50;
/** Far apart, so that caches are cold as they are in life. */
const STRIDE = 7_919;

export const bench: Bench = async ({ services, endpoints, say }) => {
  say(`ipvs change ${services} x ${endpoints}`);
  const dir = mkdtempSync(join(tmpdir(), "nodeplane-bench-"));
  const core = new IpvsCore(dir);
  await core.store.load();
  await core.take([welcome(), ...snapshotMessages(services, endpoints, "cluster-ip")]);
  await core.live();
  const totals: number[] = [];
  for (let i = 0; i < WARM_UP + SAMPLES; i++) {
    const service = (Math.floor(i / 2) * STRIDE) % services;
    const message = changeMessage(i + 2, benchSlice(service, endpoints, endpoints, 1 - (i % 2)));
    const startMs = performance.now();
    await core.receiver.take(message);
    await core.reconciler.idle();
    if (core.programmed !== BigInt(i + 2)) throw new Error(`change ${i} is not in the kernel`);
    if (i >= WARM_UP) totals.push((performance.now() - startMs) * 1_000);
  }
  await core.live();
  const peers: number[] = [];
  const [name = ""] = (await core.lines())[0]?.match(/-t \S+/) ?? [];
  for (let i = 0; i < PEER_SAMPLES; i++) {
    const swap = [`-a ${name} -r 10.255.0.1:80 -m -w 1`, `-d ${name} -r 10.255.0.1:80`];
    peers.push(ipvsadm(swap) * 1e6);
  }
  await core.clear();
  await core.stop();
  rmSync(dir, { recursive: true });
  const p50 = percentile(totals, 0.5);
  const peer = "ipvsadm -R";
  return [
    { figure: "change_p50", value: p50, unit: "us" },
    { figure: "change_p99", value: percentile(totals, 0.99), unit: "us" },
    { figure: "change_p50", value: percentile(peers, 0.5), unit: "us", peer },
    { figure: "change_p50_ratio", value: p50 / percentile(peers, 0.5), unit: "ratio" },
  ];
};
