/**
 * Layer lab. The lab's folder: paths, the small JSON records in it, and its lock.
 * Everything a later command needs to know is here, written before the thing it describes exists.
 */
import { randomBytes } from "node:crypto";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { NodeplaneError } from "../model/errors.ts";
import { identifyProcess, isAlive, type ProcessId } from "./processes.ts";

/** How the lab was asked for; `up` with other options is refused. */
export interface LabOptions {
  readonly nodes: number;
  readonly mode: "nftables" | "iptables" | "ipvs";
  readonly dualStack: boolean;
}

export interface LabRecord extends LabOptions {
  readonly name: string;
  /** Value of NODEPLANE_LAB in every process of this lab. */
  readonly mark: string;
}

export type PodRecord = {
  readonly name: string;
  readonly namespace: string;
  readonly node: string;
  readonly ips: readonly string[];
  /** Host number within the pod CIDR. */
  readonly host: number;
  readonly manifest: string;
};

const NAME = /^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/;
const LOCK_TIMEOUT_MS = 60_000;

export class LabDir {
  readonly name: string;
  readonly path: string;

  constructor(name: string, base: string) {
    if (!NAME.test(name)) {
      throw new NodeplaneError("CONFIG_INVALID", {
        object: "--name",
        detail: `"${name}" is not a lab name: up to 32 lower-case letters, digits and hyphens are allowed`,
      });
    }
    this.name = name;
    this.path = join(base, name);
  }

  file(...parts: readonly string[]): string {
    return join(this.path, ...parts);
  }

  /** @returns the path of a folder inside, made when it is missing */
  folder(...parts: readonly string[]): string {
    const path = this.file(...parts);
    mkdirSync(path, { recursive: true, mode: 0o755 });
    return path;
  }

  read<T>(...parts: readonly string[]): T | undefined {
    try {
      return JSON.parse(readFileSync(`${this.file(...parts)}.json`, "utf8")) as T;
    } catch {
      return undefined;
    }
  }

  /** Names of the records in a folder, sorted. */
  list(folder: string): readonly string[] {
    try {
      return readdirSync(this.file(folder))
        .filter((file) => file.endsWith(".json"))
        .map((file) => file.slice(0, -5))
        .sort();
    } catch {
      return [];
    }
  }

  write(value: unknown, ...parts: readonly string[]): void {
    this.writeText(`${JSON.stringify(value)}\n`, `${parts.join("/")}.json`);
  }

  /** Atomic: readers see the old or the new text. */
  writeText(text: string, ...parts: readonly string[]): string {
    const path = this.file(...parts);
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    const temporary = join(dirname(path), `.${randomBytes(6).toString("hex")}`);
    writeFileSync(temporary, text, { mode: 0o600 });
    renameSync(temporary, path);
    return path;
  }

  forget(...parts: readonly string[]): void {
    rmSync(`${this.file(...parts)}.json`, { force: true });
  }

  /** Removes the folder, and its base when that is then empty. */
  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
    try {
      rmdirSync(dirname(this.path));
    } catch {
      // another lab is in it
    }
  }

  record(): LabRecord | undefined {
    return this.read<LabRecord>("lab");
  }

  /** The record of a lab that must exist. @throws {NodeplaneError} CONFIG_INVALID */
  require(): LabRecord {
    const record = this.record();
    if (record !== undefined) return record;
    throw new NodeplaneError("CONFIG_INVALID", {
      object: `lab "${this.name}"`,
      detail: `it is not up; start it with 'nodeplane lab up --name ${this.name}'`,
    });
  }

  /** Holds the lab's lock while `action` runs; a lock whose holder died is taken over. */
  async locked<T>(action: () => Promise<T>): Promise<T> {
    this.folder();
    const path = this.file("lock");
    const deadline = Date.now() + LOCK_TIMEOUT_MS;
    for (;;) {
      try {
        writeFileSync(path, JSON.stringify(identifyProcess(process.pid)), { flag: "wx" });
        break;
      } catch (cause) {
        if (!(cause instanceof Error) || !("code" in cause) || cause.code !== "EEXIST") throw cause;
        const owner = readOwner(path);
        if (owner !== undefined && !isAlive(owner)) unlinkIfThere(path);
        else if (Date.now() > deadline) {
          throw new NodeplaneError("COMMAND_FAILED", {
            operation: `lab "${this.name}"`,
            detail: `another command (pid ${owner?.pid ?? "unknown"}) has been working on it for a minute; try again later`,
          });
        } else await sleep(20);
      }
    }
    try {
      return await action();
    } finally {
      unlinkIfThere(path);
    }
  }
}

function readOwner(path: string): ProcessId | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as ProcessId;
  } catch {
    return undefined;
  }
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // gone already
  }
}
