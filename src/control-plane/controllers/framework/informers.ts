/** Layer control-plane. One informer a resource, shared by all controllers and started when the first one asks. */
import { Informer, type InformerDeps } from "./informer.ts";

export class Informers {
  readonly #deps: InformerDeps;
  readonly #signal: AbortSignal;
  readonly #byResource = new Map<string, Informer>();
  readonly #running: Promise<void>[] = [];

  /** Informers run until `signal` aborts. */
  constructor(deps: InformerDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
  }

  /** The informer of a resource, which fills in the background: see `untilSynced`. */
  get(resource: string): Informer {
    const known = this.#byResource.get(resource);
    if (known !== undefined) return known;
    const informer = new Informer(resource, this.#deps);
    this.#byResource.set(resource, informer);
    this.#running.push(informer.run(this.#signal));
    return informer;
  }

  /** Resolves when all have ended, after the signal. */
  async finished(): Promise<void> {
    await Promise.all(this.#running);
  }
}
