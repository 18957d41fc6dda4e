/** For tests: programs of a Debian package, unpacked below .cache/ and never installed: no service starts, no file is replaced. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const CACHE = join(import.meta.dirname, "../../../.cache");

/**
 * Fetches `name` with apt once.
 * @returns the folder that holds `file` (such as "usr/bin/kubectl") of the package
 * @throws with apt's words where the package cannot be fetched or does not hold the file
 */
export async function unpackDebian(name: string, file: string): Promise<string> {
  const target = join(CACHE, name);
  if (existsSync(join(target, file))) return target;
  await mkdir(CACHE, { recursive: true });
  const folder = await mkdtemp(join(CACHE, `${name}-`));
  try {
    await run("apt-get", ["download", name], { cwd: folder, timeout: 300_000 });
    const [archive] = (await readdir(folder)).filter((entry) => entry.endsWith(".deb"));
    if (archive === undefined) throw new Error(`apt-get download ${name} brought no package`);
    await run("dpkg", ["-x", archive, "unpacked"], { cwd: folder });
    await rename(join(folder, "unpacked"), target).catch(() => undefined);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  if (!existsSync(join(target, file))) throw new Error(`the package ${name} does not hold ${file}`);
  return target;
}
