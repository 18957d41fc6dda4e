/** Layer control-plane. Store leases for objects that expire: those written in one minute share one lease. */
import type { Store } from "../store/store.ts";

const SHARED_MS = 60_000;

export class LeasePool {
  readonly #store: Store;
  readonly #nowMs: () => number;
  readonly #held = new Map<number, { readonly lease: Promise<number>; readonly untilMs: number }>();

  constructor(store: Store, nowMs: () => number) {
    this.#store = store;
    this.#nowMs = nowMs;
  }

  /** A lease that ends between `ttlSeconds` and a minute more from now. */
  async leaseFor(ttlSeconds: number): Promise<number> {
    const held = this.#held.get(ttlSeconds);
    if (held !== undefined && held.untilMs > this.#nowMs()) return await held.lease;
    const lease = this.#store.grantLease(ttlSeconds + SHARED_MS / 1000);
    this.#held.set(ttlSeconds, { lease, untilMs: this.#nowMs() + SHARED_MS });
    return await lease.catch((error: unknown) => {
      this.#held.delete(ttlSeconds);
      throw error;
    });
  }
}
