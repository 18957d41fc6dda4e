/**
 * Layer drivers. Which threads of this process go first where they share a core: those whose names begin with a prefix
 * (C++ threads that answer packets) before JavaScript, and that before the helpers of V8. A collection of garbage would
 * otherwise take turns of a whole tick (4 ms with HZ=250) on its thread and each helper. Matters only while they compete;
 * other processes have groups of their own (systemd's units, sessions).
 */
import { readdir, readFile } from "node:fs/promises";
import { constants, getPriority, setPriority } from "node:os";
import { pid } from "node:process";

const TASKS = "/proc/self/task";
/** Weights 1024, 335 and 110: beside a busy thread that answers, JavaScript has a quarter of the core. */
const JAVASCRIPT_STEPS = 5;
const HELPER_STEPS = 10;

export class ThreadPriorities {
  readonly #firstPrefix: string;
  /** What this process was started with, `nice` or a unit's `Nice=`. */
  readonly #start = getPriority();

  constructor(firstPrefix: string) {
    this.#firstPrefix = firstPrefix;
  }

  /**
   * Again after new threads were made: a thread inherits from its maker. Getting back to the first level needs
   * CAP_SYS_NICE or RLIMIT_NICE; without, a later thread stays beside JavaScript.
   */
  async arrange(): Promise<void> {
    for (const task of await readdir(TASKS)) {
      try {
        const name = await readFile(`${TASKS}/${task}/comm`, "latin1");
        const steps = this.#steps(Number(task), name);
        if (steps === undefined) continue;
        setPriority(Number(task), Math.min(constants.priority.PRIORITY_LOW, this.#start + steps));
      } catch {
        // The thread is gone, or we may not: it works all the same.
      }
    }
  }

  /** A new thread has its maker's name for a moment: only threads that are known are touched. */
  #steps(task: number, name: string): number | undefined {
    if (task === pid) return JAVASCRIPT_STEPS;
    if (name.includes("V8Worker")) return HELPER_STEPS;
    return name.startsWith(this.#firstPrefix) ? 0 : undefined;
  }
}
