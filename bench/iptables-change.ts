/**
 * Benchmark `change --mode iptables`: one endpoint changes, from its frame until iptables-restore has ended; the peer restores
 * the one chain of the service that changed (and the new endpoint's) by hand at the same size.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Bench } from "./figure.ts";
import { percentile } from "./figure.ts";
import { benchSlice, changeMessage, snapshotMessages, welcome } from "./frames.ts";
import { flush, IptablesCore, restoreByHand } from "./iptables-core.ts";

const WARM_UP = 2;
const SAMPLES = 20;
/** Far apart, so that caches are cold as they are in life. */
const STRIDE = 7_919;

/** Of an input, the lines of chains that belong to services: what a person would restore to make the same change. */
function ownChains(lines: readonly string[]): readonly string[] {
  const nat = lines.slice(lines.indexOf("*nat"));
  const isOwn = (line: string): boolean => /^(:|-A |-X )KUBE-(SVC|SEP)-/.test(line);
  return ["*nat", ...nat.filter(isOwn), "COMMIT"];
}

export const bench: Bench = async ({ services, endpoints, variant, say }) => {
  say(`change ${services} x ${endpoints}, iptables ${variant}`);
  flush(variant);
  const dir = mkdtempSync(join(tmpdir(), "nodeplane-bench-"));
  const inputs: (readonly string[])[] = [];
  const core = await IptablesCore.open(dir, variant, inputs);
  await core.program([welcome(), ...snapshotMessages(services, endpoints, "cluster-ip")]);
  const own: number[] = [];
  const byHand: number[] = [];
  for (let i = 0; i < WARM_UP + SAMPLES; i++) {
    const message = changeMessage(i + 2, benchSlice((i * STRIDE) % services, endpoints, endpoints, 1));
    const startMs = performance.now();
    await core.program([message]);
    const seconds = (performance.now() - startMs) / 1_000;
    const input = inputs.at(-1) ?? [];
    // Writing the same once more leaves the kernel as it is; what was deleted is declared and deleted again.
    const again = restoreByHand(variant, ownChains(input));
    if (i < WARM_UP) continue;
    own.push(seconds * 1_000);
    byHand.push(again * 1_000);
  }
  await core.stop();
  rmSync(dir, { recursive: true });
  flush(variant);
  const peer = `iptables-${variant}-restore`;
  return (["p50", "p99"] as const).flatMap((name) => {
    const share = name === "p50" ? 0.5 : 0.99;
    return [
      { figure: `change_${name}`, value: percentile(own, share), unit: "ms" },
      { figure: `change_${name}`, value: percentile(byHand, share), unit: "ms", peer },
    ] as const;
  });
};
