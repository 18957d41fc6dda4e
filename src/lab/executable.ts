/** Layer lab. The nodeplane executable that the lab's daemons run: the one this command was started from. */
import { existsSync } from "node:fs";
import { join } from "node:path";

function findExecutable(): string {
  // A checkout has src/lab/executable.ts; the bundle is one file beside its bin/.
  const here = import.meta.dirname;
  const path = join(here, here.endsWith("/src/lab") ? "../.." : ".", "bin/nodeplane");
  return existsSync(path) ? path : "nodeplane";
}

export const NODEPLANE = findExecutable();
