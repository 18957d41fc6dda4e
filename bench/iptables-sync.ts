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

const ROUNDS = 5;

interface Round {
  readonly sync: number;
  readonly restart: number;
  readonly byHand: number;
}

const lineCount = (inputs: readonly (readonly string[])[]) =>
  inputs.reduce((sum, lines) => sum + lines.length, 0);

export const bench: Bench = async ({ services, endpoints, variant, say }) => {
  const messages = [welcome(), ...snapshotMessages(services, endpoints, "cluster-ip")];
  /** @returns seconds */
  const timed = async (inputs?: (readonly string[])[]): Promise<number> => {
    const dir = mkdtempSync(join(tmpdir(), "nodeplane-bench-"));
    const core = await IptablesCore.open(dir, variant, inputs);
    const startMs = performance.now();
    await core.program(messages);
    const seconds = (performance.now() - startMs) / 1_000;
    await core.stop();
    rmSync(dir, { recursive: true });
    return seconds;
  };
  // In a process that has just started.
  flush(variant);
  const first = await timed();
  const written: (readonly string[])[] = [];
  const writtenAgain: (readonly string[])[] = [];
  flush(variant);
  await timed(written);
  await timed(writtenAgain);
  const rounds: Round[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    say(`sync ${services} x ${endpoints}, iptables ${variant}, round ${round + 1}`);
    flush(variant);
    const sync = await timed();
    const restart = await timed();
    flush(variant);
    const byHand = written.reduce((sum, lines) => sum + restoreByHand(variant, lines), 0);
    rounds.push({ sync, restart, byHand });
  }
  flush(variant);
  const middle = (of: (round: Round) => number) => percentile(rounds.map(of), 0.5);
  const figures: Figure[] = [
    { figure: "full_sync_first", value: first, unit: "s" },
    { figure: "full_sync", value: middle(({ sync }) => sync), unit: "s" },
    {
      figure: "full_sync",
      value: middle(({ byHand }) => byHand),
      unit: "s",
      peer: `iptables-${variant}-restore`,
    },
    { figure: "restart", value: middle(({ restart }) => restart), unit: "s" },
    { figure: "restart_lines", value: lineCount(writtenAgain), unit: "count" },
  ];
  return figures;
};
