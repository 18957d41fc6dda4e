/** Layer agent. The reconciler's view of time; tests give it another. */
import { setImmediate } from "node:timers/promises";

export interface ReconcileClock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds on a clock that never jumps, with fractions. */
  monotonicMs(): number;
  /** Calls back once; the function returned cancels, and is harmless afterwards. */
  after(delayMs: number, callback: () => void): () => void;
  /** Lets the event loop turn once. */
  yieldTurn(): Promise<void>;
}

export const machineClock: ReconcileClock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
  yieldTurn: () => setImmediate(),
};
