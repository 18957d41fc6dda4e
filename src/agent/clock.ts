/** Layer agent. Time, injected wherever logic depends on it. `FakeClock` of the tests implements it too. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Milliseconds on a clock that never jumps: for how long something takes or waits. */
  monotonicMs(): number;
  /** Calls back once after `ms`; the function returned cancels. */
  after(ms: number, callback: () => void): () => void;
}

/** The machine's clock. Timers do not keep the process alive: the daemon's own wait does. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (ms, callback) => {
    const timer = setTimeout(callback, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Calls `callback` every `ms` until the function returned is called. */
export function every(clock: Clock, ms: number, callback: () => void): () => void {
  let cancel = clock.after(ms, tick);
  function tick(): void {
    cancel = clock.after(ms, tick);
    callback();
  }
  return () => cancel();
}
