/** Layer drivers. Links and addresses in memory: tests set what `refresh` and the watchers see. */
import type { Network, RtnetlinkDriver } from "./driver.ts";

export class FakeRtnetlink implements RtnetlinkDriver {
  network: Network;
  #next: Network;
  readonly #watchers = new Set<(network: Network) => void>();

  constructor(network: Network) {
    this.network = network;
    this.#next = network;
  }

  /** The machine now looks like this; watchers hear of it if it is a change. */
  set(network: Network): void {
    const changed = JSON.stringify(network) !== JSON.stringify(this.network);
    this.#next = network;
    if (this.#watchers.size === 0) return;
    this.network = network;
    if (changed) for (const watcher of this.#watchers) watcher(network);
  }

  refresh(): Promise<Network> {
    this.network = this.#next;
    return Promise.resolve(this.network);
  }

  watch(onChange: (network: Network) => void, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#watchers.add(onChange);
    signal.addEventListener("abort", () => this.#watchers.delete(onChange), { once: true });
  }

  close(): void {
    this.#watchers.clear();
  }
}
