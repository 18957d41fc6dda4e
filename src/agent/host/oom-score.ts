/** Layer agent. Asks the kernel to spare this process when memory runs out (`oomScoreAdj`, as kube-proxy has it). */
import { writeFileSync } from "node:fs";
import type { Logger } from "../log.ts";

/** @param value -1000 to 1000; lowering it needs CAP_SYS_RESOURCE, whose lack is logged and no failure */
export function setOomScore(value: number, log: Logger): void {
  try {
    writeFileSync("/proc/self/oom_score_adj", String(value));
  } catch (error) {
    log.warn({ oomScoreAdj: value, error: (error as Error).message }, "cannot set oom_score_adj");
  }
}
