/**
 * Layer control-plane. A queue of keys. A key that is queued several times is worked on once; a key that is queued
 * while it is worked on is worked on again afterwards; a key that fails comes back after a growing delay.
 */
import type { ControllerClock, ControllerLog } from "../controller.ts";
import { isNamespaceTerminating } from "./writes.ts";

export interface WorkQueueOptions {
  readonly name: string;
  readonly clock: ControllerClock;
  readonly log: ControllerLog;
  /** Keys worked on at the same time. */
  readonly workers?: number;
  /** Brings the world in line for one key; a rejection means "again later". */
  readonly work: (key: string, signal: AbortSignal) => Promise<void>;
}

const FIRST_DELAY_MS = 50;
const MAX_DELAY_MS = 30_000;
/** Failures before a warning is logged: conflicts with other writers are ordinary. */
const QUIET_FAILURES = 3;

export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #waiting = new Set<string>();
  readonly #active = new Set<string>();
  readonly #failures = new Map<string, number>();
  #wake: (() => void)[] = [];
  #idle: (() => void)[] = [];
  /** Delayed keys count as work that is still to be done. */
  #delayed = 0;
  #signal: AbortSignal | undefined;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  add(key: string): void {
    this.#waiting.add(key);
    this.#wake.shift()?.();
  }

  /** Queues the key after a while; also before `run`. */
  addAfter(key: string, delayMs: number): void {
    this.#delayed++;
    const signal = this.#signal ?? new AbortController().signal;
    void this.#options.clock.sleep(delayMs, signal).then(() => {
      this.#delayed--;
      if (!signal.aborted) this.add(key);
      this.#checkIdle();
    });
  }

  get length(): number {
    return this.#waiting.size;
  }

  /** Resolves when nothing is queued, delayed or worked on. For tests. */
  async idle(): Promise<void> {
    if (this.#isIdle()) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  /** Works until `signal` aborts; what is being worked on is finished. */
  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    const stop = (): void => {
      for (const wake of this.#wake.splice(0)) wake();
    };
    signal.addEventListener("abort", stop, { once: true });
    const workers = Array.from({ length: this.#options.workers ?? 1 }, () => this.#worker(signal));
    await Promise.all(workers);
    signal.removeEventListener("abort", stop);
  }

  async #worker(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const key = this.#take();
      if (key === undefined) {
        this.#checkIdle();
        await new Promise<void>((resolve) => this.#wake.push(resolve));
        continue;
      }
      this.#active.add(key);
      await this.#workOn(key, signal);
      this.#active.delete(key);
      if (this.#waiting.has(key)) this.#wake.shift()?.();
    }
  }

  /** The oldest waiting key that nobody works on. */
  #take(): string | undefined {
    for (const key of this.#waiting) {
      if (this.#active.has(key)) continue;
      this.#waiting.delete(key);
      return key;
    }
    return undefined;
  }

  async #workOn(key: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.work(key, signal);
      this.#failures.delete(key);
    } catch (error) {
      if (signal.aborted) return;
      if (isNamespaceTerminating(error)) {
        // Nothing more is wanted there; what there is goes with the namespace.
        this.#failures.delete(key);
        return;
      }
      const failures = (this.#failures.get(key) ?? 0) + 1;
      this.#failures.set(key, failures);
      const { log, name } = this.#options;
      if (failures > QUIET_FAILURES) {
        log.warn({ controller: name, key, failures, error: String(error) }, "work failed; trying again");
      }
      this.addAfter(key, Math.min(FIRST_DELAY_MS * 2 ** (failures - 1), MAX_DELAY_MS));
    }
  }

  #isIdle(): boolean {
    return this.#waiting.size === 0 && this.#active.size === 0 && this.#delayed === 0;
  }

  #checkIdle(): void {
    if (!this.#isIdle()) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
