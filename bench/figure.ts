/** Benchmarks. What a benchmark is given and what it gives: figures as the contract of `--json` names them. */
import type { IptablesVariant } from "../src/drivers/iptables/driver.ts";

export interface BenchOptions {
  readonly mode: "nftables" | "iptables" | "ipvs";
  /** Of iptables. */
  readonly variant: IptablesVariant;
  readonly services: number;
  /** Endpoints of each service. */
  readonly endpoints: number;
  /** Programs to measure beside ours, by name. */
  readonly peers: ReadonlyMap<string, string>;
  /** Writes a line about what is going on. */
  readonly say: (text: string) => void;
}

export interface Figure {
  readonly figure: string;
  readonly value: number;
  readonly unit: "us" | "ms" | "s" | "MB" | "count" | "ratio" | "1/s";
  /** Who did it, if it was not us. */
  readonly peer?: string;
}

export type Bench = (options: BenchOptions) => Promise<readonly Figure[]>;

/** The value that a share of `values` does not exceed. Sorts a copy. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
