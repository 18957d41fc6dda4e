/**
 * Layer agent. The folder of Pod manifests, read and followed. A file whose new content is wrong keeps the workloads of its
 * last good content (as the kubelet does with static pods) and is reported; other files are not affected.
 */
import { createHash } from "node:crypto";
import { type FSWatcher, statSync, watch } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../clock.ts";
import { parseYaml } from "../config/yaml-text.ts";
import { parseManifest, type WorkloadManifest } from "./manifest.ts";

const FILE = /^[^.].*\.(ya?ml|json)$/;
const MAX_FILES = 1000;
const MAX_BYTES = 1 << 20;
const MAX_DOCUMENTS = 100;
/** Time without further changes before the folder is read again. */
const SETTLE_MS = 50;
/** A folder that is not there is looked for this often. */
const RETRY_MS = 1000;
/** The folder is also read without being told of a change, as the kubelet does. */
const REREAD_MS = 20_000;

export interface FoundManifest {
  readonly file: string;
  /** Of the content of its document. */
  readonly hash: string;
  readonly manifest: WorkloadManifest;
}

export interface ManifestFolderState {
  /** At most one for each namespace and name; the file that sorts first wins. */
  readonly manifests: readonly FoundManifest[];
  /** `file: field: what is wrong`, one line each. */
  readonly problems: readonly string[];
}

interface FileState {
  readonly stamp: string;
  readonly manifests: readonly FoundManifest[];
  readonly problem: string | undefined;
}

export class ManifestDirectory {
  readonly #path: string;
  readonly #clock: Clock;
  #files = new Map<string, FileState>();

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  /** Reads what changed since the last call. A folder that does not exist is empty. */
  async read(): Promise<ManifestFolderState> {
    const problems: string[] = [];
    const names = await this.#names(problems);
    const files = new Map<string, FileState>();
    for (const name of names) {
      const state = await this.#readFile(name);
      if (state !== undefined) files.set(name, state);
    }
    this.#files = files;
    return this.#combine(problems);
  }

  /** Calls `onState` with the first and every later state, one after the other, until `signal` aborts. */
  follow(onState: (state: ManifestFolderState) => void, signal: AbortSignal): void {
    let watch: FolderWatch | undefined;
    let cancel = (): void => undefined;
    const soon = (): void => {
      cancel();
      cancel = this.#clock.after(SETTLE_MS, () => void again());
    };
    let isReading = false;
    const again = async (): Promise<void> => {
      if (isReading) {
        soon();
        return;
      }
      isReading = true;
      // Watch and timer before reading: a change that falls into the reading replaces the timer, and is read.
      watch = rewatch(this.#path, watch, soon);
      cancel();
      cancel = this.#clock.after(watch === undefined ? RETRY_MS : REREAD_MS, () => void again());
      const state = await this.read();
      isReading = false;
      if (!signal.aborted) onState(state);
    };
    signal.addEventListener("abort", () => {
      cancel();
      watch?.watcher.close();
    });
    void again();
  }

  async #names(problems: string[]): Promise<readonly string[]> {
    try {
      const names = (await readdir(this.#path)).filter((name) => FILE.test(name)).toSorted();
      if (names.length > MAX_FILES)
        problems.push(`${this.#path}: ${names.length} files; only the first ${MAX_FILES} are read`);
      return names.slice(0, MAX_FILES);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT")
        problems.push(`${this.#path}: ${(error as Error).message}`);
      return [];
    }
  }

  async #readFile(name: string): Promise<FileState | undefined> {
    const path = join(this.#path, name);
    const before = this.#files.get(name);
    let stamp = "";
    try {
      const found = await stat(path);
      if (!found.isFile()) return undefined;
      stamp = `${found.ino} ${found.size} ${found.mtimeMs} ${found.ctimeMs}`;
      if (before?.stamp === stamp) return before;
      if (found.size > MAX_BYTES) throw new Error("larger than 1 MiB");
      return { stamp, manifests: parseFile(path, await readFile(path, "utf8")), problem: undefined };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      return { stamp, manifests: before?.manifests ?? [], problem: `${path}: ${(error as Error).message}` };
    }
  }

  #combine(problems: string[]): ManifestFolderState {
    const manifests = new Map<string, FoundManifest>();
    for (const state of this.#files.values()) {
      if (state.problem !== undefined) problems.push(state.problem);
      for (const found of state.manifests) {
        const key = `${found.manifest.namespace}/${found.manifest.name}`;
        const first = manifests.get(key);
        if (first === undefined) manifests.set(key, found);
        else
          problems.push(
            `${found.file}: metadata.name: the Pod ${key} is already in ${first.file}; allowed: another name`,
          );
      }
    }
    return { manifests: [...manifests.values()], problems };
  }
}

/** @throws {Error} with the field and what is allowed */
function parseFile(file: string, content: string): readonly FoundManifest[] {
  const values = parseYaml(content);
  if (values.length > MAX_DOCUMENTS)
    throw new Error(`${values.length} documents; allowed: at most ${MAX_DOCUMENTS}`);
  return values.flatMap((value) => {
    if (value === null) return [];
    const manifest = parseManifest(value);
    const hash = createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 32);
    return [{ file, hash, manifest }];
  });
}

interface FolderWatch {
  readonly watcher: FSWatcher;
  /** Of the folder that is watched: another folder may take its path. */
  readonly inode: number;
}

/** @returns a watch of the folder that has this path now, `undefined` while there is none */
function rewatch(
  path: string,
  before: FolderWatch | undefined,
  onChange: () => void,
): FolderWatch | undefined {
  try {
    const inode = statSync(path).ino;
    if (before?.inode === inode) return before;
    before?.watcher.close();
    const watcher = watch(path, { persistent: false }, onChange);
    // The next reading makes a new one.
    watcher.on("error", () => watcher.close());
    return { watcher, inode };
  } catch {
    before?.watcher.close();
    return undefined;
  }
}
