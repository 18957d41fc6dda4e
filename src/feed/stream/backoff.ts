/** Layer feed. How long to wait before the next attempt to connect: doubling, with jitter, so that nodes do not come all at once. */
export interface BackoffOptions {
  readonly minMs: number;
  readonly maxMs: number;
}

/**
 * @param attempt 0 for the first wait
 * @param random from 0 to 1
 */
export function backoffMs(attempt: number, random: number, options: BackoffOptions): number {
  const full = Math.min(options.maxMs, options.minMs * 2 ** Math.min(attempt, 30));
  return full * (0.5 + random / 2);
}
