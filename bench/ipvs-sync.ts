/**
 * Benchmark `sync` of ipvs mode: everything from empty, from the first frame until the last batch is live; beside it `ipvsadm -R`
 * with the same virtual servers, which makes neither sets nor addresses.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Bench, BenchOptions, Figure } from "./figure.ts";
import { percentile } from "./figure.ts";
import { snapshotMessages, welcome } from "./frames.ts";
import { IpvsCore, ipvsadm } from "./ipvs-core.ts";

const ROUNDS = 3;

interface Round {
  readonly seconds: number;
  /** Read everything back, find nothing to write: a restart without the process's own start. */
  readonly adoptSeconds: number;
  readonly peerSeconds: number;
}

async function once(options: BenchOptions): Promise<Round> {
  const dir = mkdtempSync(join(tmpdir(), "nodeplane-bench-"));
  const messages = [welcome(), ...snapshotMessages(options.services, options.endpoints, "cluster-ip")];
  const core = new IpvsCore(dir);
  await core.store.load();
  const startMs = performance.now();
  await core.take(messages);
  await core.live();
  const seconds = (performance.now() - startMs) / 1_000;
  core.reconciler.stop();

  const again = new IpvsCore(mkdtempSync(join(dir, "again-")));
  await again.store.load();
  const againMs = performance.now();
  await again.take(messages);
  await again.live();
  const adoptSeconds = (performance.now() - againMs) / 1_000;
  const written = again.reconciler.status().families[0]?.ipvs?.serverOperations;
  if (written !== 0) throw new Error(`adoption wrote ${written} operations`);
  await again.stop();

  const lines = await core.lines();
  await core.clear();
  const peerSeconds = ipvsadm(lines);
  await core.clear();
  await core.stop();
  rmSync(dir, { recursive: true });
  return { seconds, adoptSeconds, peerSeconds };
}

/** Medians of three in one process, the first of them cold. */
export const bench: Bench = async (options) => {
  const rounds: Round[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    options.say(`ipvs sync ${options.services} x ${options.endpoints}, round ${round + 1}`);
    rounds.push(await once(options));
  }
  const middle = (of: (round: Round) => number) => percentile(rounds.map(of), 0.5);
  const ours = middle(({ seconds }) => seconds);
  const peer = middle(({ peerSeconds }) => peerSeconds);
  const figures: Figure[] = [
    { figure: "full_sync_first", value: rounds[0]?.seconds ?? 0, unit: "s" },
    { figure: "full_sync", value: ours, unit: "s" },
    { figure: "adoption", value: middle(({ adoptSeconds }) => adoptSeconds), unit: "s" },
    { figure: "full_sync", value: peer, unit: "s", peer: "ipvsadm -R, virtual servers alone" },
    { figure: "full_sync_ratio", value: ours / peer, unit: "ratio" },
  ];
  return figures;
};
