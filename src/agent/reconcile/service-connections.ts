/**
 * Layer agent. New connections of service ports, for metrics and `status`: families put together, and readings of the kernel
 * rationed, since one takes the longer the more services there are and holds up everything else meanwhile.
 */
import type { UnitConnections } from "../../plan/connection-totals.ts";
import type { UnitShape } from "../../plan/unit.ts";
import type { ReconcileClock } from "./clock.ts";

export interface ServiceConnections {
  readonly namespace: string;
  readonly service: string;
  /** Its name, or its number where it has none. */
  readonly port: string;
  /** Since they are counted; both families together. */
  readonly connections: number;
}

const LEAST_INTERVAL_MS = 2_000;
/** Readings take at most one part in so many of the time. */
const SHARE = 50;

export class ServiceConnectionReader {
  readonly #clock: Pick<ReconcileClock, "monotonicMs">;
  readonly #read: () => Iterable<UnitConnections>;
  #nextMs = Number.NEGATIVE_INFINITY;
  #latest: readonly ServiceConnections[] = [];

  constructor(clock: Pick<ReconcileClock, "monotonicMs">, read: () => Iterable<UnitConnections>) {
    this.#clock = clock;
    this.#read = read;
  }

  /** The latest reading, or a new one when it is time. @throws what reading throws; the next call then has the old one */
  latest(): readonly ServiceConnections[] {
    const startMs = this.#clock.monotonicMs();
    if (startMs < this.#nextMs) return this.#latest;
    this.#nextMs = startMs + LEAST_INTERVAL_MS;
    this.#latest = byService(this.#read());
    const endMs = this.#clock.monotonicMs();
    this.#nextMs = endMs + Math.max(LEAST_INTERVAL_MS, (endMs - startMs) * SHARE);
    return this.#latest;
  }
}

function byService(units: Iterable<UnitConnections>): readonly ServiceConnections[] {
  const found = new Map<string, ServiceConnections>();
  for (const { shape, connections } of units) {
    const { namespace, service } = shape;
    const port = portOf(shape);
    const key = `${namespace}/${service}:${port}`;
    const before = found.get(key)?.connections ?? 0;
    found.set(key, { namespace, service, port, connections: before + connections });
  }
  return [...found.values()];
}

/** A Service with several ports has names for all of them. */
function portOf({ portName, frontends }: UnitShape): string {
  if (portName !== "") return portName;
  const own = frontends.find((frontend) => frontend.class === "internal") ?? frontends[0];
  return String(own?.port ?? "");
}
