/** Layer control-plane. Files that appear whole or not at all, readable by their owner alone where they hold keys. */
import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { NodeplaneError } from "../../model/errors.ts";

/** Text of a file; `undefined` when there is none. @throws {NodeplaneError} FILE_UNREADABLE */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new NodeplaneError("FILE_UNREADABLE", { path, detail: describe(error) }, error);
  }
}

/** Writes beside the file, syncs, then renames over it. Makes the folder (0700) where it is missing. @throws {NodeplaneError} COMMAND_FAILED */
export async function writeWhole(path: string, text: string, mode = 0o600): Promise<void> {
  const beside = `${path}.${randomBytes(6).toString("hex")}.new`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(beside, "wx", mode);
    await writeAndClose(file, text);
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true }).catch(() => undefined); // The first error is the one that counts.
    throw new NodeplaneError("COMMAND_FAILED", { operation: "write", path, detail: describe(error) }, error);
  }
}

async function writeAndClose(file: FileHandle, text: string): Promise<void> {
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
