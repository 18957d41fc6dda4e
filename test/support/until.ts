/** Test code. Waits for something that others bring about: the kernel, another process, another part of this one. */

/** Long: a busy machine is no failure. What does not come at all is told then. */
const LIMIT_MS = 60_000;
const LOOK_MS = 10;

/**
 * @param what is named when it does not come; the claim's own text unless given
 * @throws when it does not hold within the limit
 */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what = String(holds),
  limitMs = LIMIT_MS,
): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`not within ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
