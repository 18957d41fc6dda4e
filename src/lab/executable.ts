/** Layer lab. The nodeplane executable that the lab's daemons run: the one this command was started from. */
import { existsSync } from "node:fs";
import { join } from "node:path";

function findExecutable(): string {
  // A checkout has src/lab/executable.ts; the bundle is one file beside its bin/.
  for (const root of [
    join(import.meta.dirname, "../.."),
    import.meta.dirname,
    join(import.meta.dirname, ".."),
  ]) {
    const path = join(root, "bin/nodeplane");
    if (existsSync(path)) return path;
  }
  return "nodeplane";
}

export const NODEPLANE = findExecutable();
