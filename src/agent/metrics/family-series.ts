/** Layer agent. Series by IP family, read from the reconciler's status when somebody scrapes. */
import { Counter, Gauge, type Registry } from "prom-client";
import type { FamilyStatus, ReconcilerStatus } from "../reconcile/status.ts";
import { FAMILY_LABEL, type MetricsSnapshot } from "./metrics-snapshot.ts";

/** Name, help, and the value of a family; `undefined` where it has none, which leaves it without a sample. */
export type FamilySeries = readonly [
  name: string,
  help: string,
  read: (family: FamilyStatus, status: ReconcilerStatus) => number | undefined,
];

/** Calls `take` with each family that has a value. */
function each(
  snapshot: () => MetricsSnapshot,
  read: FamilySeries[2],
  take: (labels: { ip_family: string }, value: number) => void,
): void {
  const { reconciler } = snapshot();
  for (const family of reconciler.families) {
    const value = read(family, reconciler);
    if (value !== undefined) take({ ip_family: FAMILY_LABEL[family.family] }, value);
  }
}

/** Gauges with the label `ip_family`. */
export function familyGauges(
  registry: Registry,
  snapshot: () => MetricsSnapshot,
  all: readonly FamilySeries[],
): void {
  for (const [name, help, read] of all) {
    const gauge: Gauge<"ip_family"> = new Gauge({
      name,
      help,
      labelNames: ["ip_family"],
      registers: [registry],
      collect: () => each(snapshot, read, (labels, value) => gauge.set(labels, value)),
    });
  }
}

/** Counters with the label `ip_family`, whose values others keep. */
export function familyCounters(
  registry: Registry,
  snapshot: () => MetricsSnapshot,
  all: readonly FamilySeries[],
): void {
  for (const [name, help, read] of all) {
    const counter: Counter<"ip_family"> = new Counter({
      name,
      help,
      labelNames: ["ip_family"],
      registers: [registry],
      collect: () => {
        counter.reset();
        each(snapshot, read, (labels, value) => counter.inc(labels, value));
      },
    });
  }
}
