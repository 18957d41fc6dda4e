/** Test code. Waits for something that others bring about: the kernel, another process, another part of this one. */

import { PATIENCE } from "./patience.ts";

/** Long: a busy machine is no failure. What does not come at all is told then. */
const LIMIT_MS = 60_000;
const LOOK_MS = 10;

/**
 * @param what is named when it does not come; the claim's own text unless given
 * @throws when it does not hold within the limit, which is longer where the machine is slow
 */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what = String(holds),
  limitMs = LIMIT_MS,
): Promise<void> {
  const slowLimitMs = limitMs * PATIENCE;
  const endMs = performance.now() + slowLimitMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`not within ${slowLimitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
