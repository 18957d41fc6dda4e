/**
 * Layer agent. What the agent knew of its workloads, kept on disk, so that a restart of the agent does not make a ready
 * workload unready for a moment. Worth nothing after the machine itself restarted, hence the boot id.
 */
import { readFileSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Clock } from "../clock.ts";
import type { Logger } from "../log.ts";
import type { KnownWorkload } from "./workload.ts";

const MAX_BYTES = 8 << 20;
const SETTLE_MS = 100;

export interface KnownWorkloadsOptions {
  readonly path: string;
  /** Of this start of the machine. */
  readonly bootId: string;
  readonly clock: Clock;
  readonly log: Logger;
}

export class KnownWorkloads {
  readonly #options: KnownWorkloadsOptions;
  readonly #read: ReadonlyMap<string, KnownWorkload>;
  #isWaiting = false;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: KnownWorkloadsOptions) {
    this.#options = options;
    this.#read = readKnown(options);
  }

  /** What an earlier agent knew of `namespace/name`. */
  get(key: string): KnownWorkload | undefined {
    return this.#read.get(key);
  }

  /** Writes what `current` returns, a moment later, once for many calls. */
  save(current: () => Readonly<Record<string, KnownWorkload>>): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#options.clock.after(SETTLE_MS, () => {
      this.#isWaiting = false;
      this.#writing = this.#writing.then(() => this.#write(current()));
    });
  }

  async #write(workloads: Readonly<Record<string, KnownWorkload>>): Promise<void> {
    const { path, bootId, log } = this.#options;
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await writeFile(`${path}.new`, JSON.stringify({ version: 1, bootId, workloads }), { mode: 0o600 });
      await rename(`${path}.new`, path);
    } catch (error) {
      log.warn({ path, error: (error as Error).message }, "cannot keep the state of workloads");
    }
  }
}

function readKnown(options: KnownWorkloadsOptions): ReadonlyMap<string, KnownWorkload> {
  const { path, bootId, log } = options;
  try {
    const text = readFileSync(path, "utf8");
    if (text.length > MAX_BYTES) throw new Error("too large");
    const value = JSON.parse(text) as { version?: unknown; bootId?: unknown; workloads?: unknown };
    if (value.version !== 1 || value.bootId !== bootId || typeof value.workloads !== "object")
      return new Map();
    const entries = Object.entries(value.workloads ?? {}) as [string, unknown][];
    return new Map(entries.filter((entry): entry is [string, KnownWorkload] => isKnown(entry[1])));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
      log.warn(
        { path, error: (error as Error).message },
        "the kept state of workloads is damaged; starting without it",
      );
    }
    return new Map();
  }
}

function isKnown(value: unknown): value is KnownWorkload {
  if (typeof value !== "object" || value === null) return false;
  const known = value as Readonly<Record<string, unknown>>;
  return (
    typeof known["hash"] === "string" &&
    typeof known["startedAtMs"] === "number" &&
    typeof known["restarts"] === "number" &&
    typeof known["containers"] === "object" &&
    known["containers"] !== null
  );
}
