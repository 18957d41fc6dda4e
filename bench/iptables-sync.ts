/**
 * Benchmark `sync --mode iptables`: everything from empty, from the first frame until it is in the kernel, then an agent that
 * starts again beside these rules; the peer is a plain `iptables-restore` of the same text.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Bench, Figure } from "./figure.ts";
import { percentile } from "./figure.ts";
import { snapshotMessages, welcome } from "./frames.ts";
import { flush, IptablesCore, restoreByHand } from "./iptables-core.ts";

/** The first of them, in a process that has just started, stands for itself as `full_sync_first`. */
const ROUNDS = 6;

interface Round {
  readonly sync: number;
  readonly restart: number;
  /** Lines that the restart wrote. */
  readonly written: number;
  readonly byHand: number;
}

export const bench: Bench = async ({ services, endpoints, variant, say }) => {
  const messages = [welcome(), ...snapshotMessages(services, endpoints, "cluster-ip")];
  const timed = async (): Promise<{ readonly seconds: number; readonly inputs: IptablesCore["inputs"] }> => {
    const dir = mkdtempSync(join(tmpdir(), "nodeplane-bench-"));
    const core = await IptablesCore.open(dir, variant);
    const startMs = performance.now();
    await core.program(messages);
    const seconds = (performance.now() - startMs) / 1_000;
    await core.stop();
    rmSync(dir, { recursive: true });
    return { seconds, inputs: core.inputs };
  };
  const rounds: Round[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    say(`sync ${services} x ${endpoints}, iptables ${variant}, round ${round + 1}`);
    flush(variant);
    const sync = await timed();
    const restart = await timed();
    flush(variant);
    const byHand = sync.inputs.reduce((sum, lines) => sum + restoreByHand(variant, lines), 0);
    const written = restart.inputs.reduce((sum, lines) => sum + lines.length, 0);
    rounds.push({ sync: sync.seconds, restart: restart.seconds, written, byHand });
  }
  flush(variant);
  const [first, ...others] = rounds;
  const middle = (of: (round: Round) => number) => percentile(others.map(of), 0.5);
  const figures: Figure[] = [
    { figure: "full_sync_first", value: first?.sync ?? Number.NaN, unit: "s" },
    { figure: "full_sync", value: middle(({ sync }) => sync), unit: "s" },
    {
      figure: "full_sync",
      value: middle(({ byHand }) => byHand),
      unit: "s",
      peer: `iptables-${variant}-restore`,
    },
    { figure: "restart", value: middle(({ restart }) => restart), unit: "s" },
    { figure: "restart_lines", value: middle(({ written }) => written), unit: "count" },
  ];
  return figures;
};
