/** Layer dns. Reads a Corefile and what it imports from disk. */

import { createHash } from "node:crypto";
import { globSync, readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { NodeplaneError } from "../../model/errors.ts";
import { type CorefileSource, parseCorefile, type ServerBlock } from "./parser.ts";
import type { Environment } from "./tokens.ts";

const MAX_FILE_BYTES = 4 * 1024 * 1024;

export interface LoadedCorefile {
  readonly blocks: readonly ServerBlock[];
  /** Hash of the parsed content, imports included: equal hashes mean nothing to reload. */
  readonly hash: string;
}

/** Where the configuration comes from: a file, or text that is built in. */
export type CorefileOrigin =
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "text"; readonly text: string; readonly name: string };

/**
 * @throws {NodeplaneError} FILE_UNREADABLE for the file itself, CONFIG_INVALID with file and line for what is in it
 */
export function loadCorefile(origin: CorefileOrigin, env: Environment): LoadedCorefile {
  const text = origin.kind === "text" ? origin.text : readFile(origin.path);
  const name = origin.kind === "text" ? origin.name : origin.path;
  const source: CorefileSource = { env, readImport };
  const blocks = parseCorefile(text, name, source);
  if (blocks.length === 0)
    throw new NodeplaneError("CONFIG_INVALID", { path: name, detail: "no server block" });
  return { blocks, hash: createHash("sha512").update(JSON.stringify(blocks)).digest("hex") };
}

function readFile(path: string): string {
  try {
    if (statSync(path).size > MAX_FILE_BYTES) throw new Error(`larger than ${MAX_FILE_BYTES} bytes`);
    return readFileSync(path, "utf8");
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new NodeplaneError("FILE_UNREADABLE", { path, detail }, error);
  }
}

/** Relative patterns start at the folder of the file with the import. */
function readImport(
  pattern: string,
  from: string,
): readonly { readonly file: string; readonly text: string }[] {
  const absolute = resolve(dirname(from), pattern);
  const files = /[*?[]/.test(pattern) ? globSync(absolute).sort() : [absolute];
  return files
    .filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile() === true)
    .map((file) => ({ file, text: readFile(file) }));
}
