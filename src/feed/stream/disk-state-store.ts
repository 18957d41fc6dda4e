/**
 * Layer feed. The state on disk: `state.log` holds the raw messages of one snapshot and the differences since, each with
 * a checksum. It is only appended to, or replaced as a whole by a rename, so it survives SIGKILL and power cuts at any
 * point: what is cut or damaged at the end is dropped back to the last complete group. No object is kept in memory.
 * After a disk error nothing more is written until the next snapshot; what is there stays a valid older state.
 */
import { type FileHandle, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { decodeObjectKey } from "../../codec/stream/decode-object.ts";
import { encodeBegin, encodeCommit } from "../../codec/stream/server-message.ts";
import { NodeplaneError } from "../../model/errors.ts";
import type { ObjectKey } from "../../model/objects.ts";
import { firstLine, frameHead, readFirstLine, readFrames } from "./frame-file.ts";
import { LogWalk } from "./live-objects.ts";
import type { KeptObject, KeptState, StateStore } from "./state-store.ts";

/** The log is rewritten when it is this much larger than after the last rewrite. */
const SLACK_BYTES = 4 * 1024 * 1024;
/** More than this waiting to be written holds new messages back. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
const REWRITE_MESSAGE_BYTES = 128 * 1024;

export class DiskStateStore implements StateStore {
  readonly #path: string;
  readonly #onError: (error: NodeplaneError) => void;
  readonly #slackBytes: number;
  #file: FileHandle | undefined;
  #spool: FileHandle | undefined;
  #sets = "";
  #spoolSets = "";
  #offset = 0;
  #baseBytes = 0;
  /** The log is more than one snapshot. */
  #hasDifferences = false;
  #waitingBytes = 0;
  #isBroken = false;
  /** Everything that touches the files, one after the other. */
  #work: Promise<void> = Promise.resolve();

  constructor(folder: string, onError: (error: NodeplaneError) => void, slackBytes = SLACK_BYTES) {
    this.#path = join(folder, "state.log");
    this.#onError = onError;
    this.#slackBytes = slackBytes;
  }

  async load(): Promise<KeptState | undefined> {
    try {
      await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
      await rm(this.#spoolPath, { force: true });
      return await this.#open();
    } catch (error) {
      this.#fail("load", error);
      return undefined;
    }
  }

  async *objects(): AsyncGenerator<readonly KeptObject[]> {
    await this.#work;
    // Of a snapshot alone everything is alive: there is nothing to learn first.
    const walk = this.#hasDifferences ? (await this.#learn()).walk : new LogWalk();
    const counter = { ordinal: 0 };
    for await (const { bytes } of readFrames(this.#path, this.#offset)) yield walk.alive(bytes, counter);
  }

  async *keys(): AsyncGenerator<ObjectKey> {
    for await (const some of this.objects())
      for (const { bytes, start, end } of some) {
        const key = decodeObjectKey(bytes, start, end);
        if (key !== undefined) yield key;
      }
  }

  append(messages: readonly Buffer[]): void {
    if (this.#file === undefined || this.#isBroken) return;
    const bytes = Buffer.concat(messages.flatMap((message) => [frameHead(message), message]));
    this.#waitingBytes += bytes.length;
    this.#then("append", async () => {
      this.#waitingBytes -= bytes.length;
      if (this.#file === undefined || this.#isBroken) return;
      await writeAll(this.#file, bytes, this.#offset);
      this.#offset += bytes.length;
      this.#hasDifferences = true;
      if (this.#offset > this.#baseBytes * 2 + this.#slackBytes) await this.#rewrite();
    });
  }

  async beginSnapshot(sets: string): Promise<void> {
    await this.#work;
    await this.abortSnapshot();
    this.#spoolSets = sets;
    this.#spool = await open(this.#spoolPath, "wx", 0o600);
    await this.#spool.writeFile(firstLine(sets));
  }

  async addToSnapshot(message: Buffer): Promise<void> {
    if (this.#spool === undefined) throw new TypeError("no snapshot has begun");
    await this.#spool.writeFile(Buffer.concat([frameHead(message), message]));
  }

  async commitSnapshot(): Promise<void> {
    const spool = this.#spool;
    if (spool === undefined) throw new TypeError("no snapshot has begun");
    this.#spool = undefined;
    await this.#replace(spool);
    this.#sets = this.#spoolSets;
    this.#isBroken = false;
  }

  async abortSnapshot(): Promise<void> {
    await this.#spool?.close();
    this.#spool = undefined;
    await rm(this.#spoolPath, { force: true });
  }

  async touch(): Promise<void> {
    this.#then("touch", async () => {
      const now = new Date();
      await this.#file?.utimes(now, now);
    });
    await this.#work;
  }

  get isSettled(): boolean {
    return this.#waitingBytes <= MAX_WAITING_BYTES;
  }

  async settled(): Promise<void> {
    if (!this.isSettled) await this.#work;
  }

  async close(): Promise<void> {
    await this.#work;
    await this.abortSnapshot();
    await this.#file?.close();
    this.#file = undefined;
  }

  get #spoolPath(): string {
    return `${this.#path}.new`;
  }

  #then(operation: string, work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((error: unknown) => this.#fail(operation, error));
  }

  #fail(operation: string, error: unknown): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    const detail = error instanceof Error ? error.message : String(error);
    this.#onError(new NodeplaneError("STATE_INVALID", { operation, path: this.#path, detail }, error));
  }

  /** Opens the log for appending behind its last complete group; a log without one is set aside. */
  async #open(): Promise<KeptState | undefined> {
    const info = await stat(this.#path).catch(() => undefined);
    if (info === undefined) return undefined;
    const sets = await readFirstLine(this.#path);
    const { walk, endOffset } = await this.#learn();
    if (walk.revision === 0 || sets === undefined) {
      await rename(this.#path, `${this.#path}.damaged`);
      const detail = `it holds no complete state and is kept as ${this.#path}.damaged`;
      this.#onError(new NodeplaneError("STATE_INVALID", { path: this.#path, detail }));
      return undefined;
    }
    this.#file = await open(this.#path, "r+");
    await this.#file.truncate(endOffset);
    // The change of size is no news about the source.
    await this.#file.utimes(info.atime, info.mtime);
    this.#offset = endOffset;
    this.#baseBytes = endOffset;
    this.#hasDifferences = walk.hasDifferences;
    this.#sets = sets;
    return { epoch: walk.epoch, revision: walk.revision, sets, savedAtMs: info.mtimeMs };
  }

  /** Reads the log up to its last complete group. */
  async #learn(): Promise<{ readonly walk: LogWalk; readonly endOffset: number }> {
    const walk = new LogWalk();
    let endOffset = 0;
    const limit = this.#file === undefined ? Number.POSITIVE_INFINITY : this.#offset;
    for await (const { bytes, endOffset: end } of readFrames(this.#path, limit)) {
      if (!learnSafely(walk, bytes)) break;
      if (!walk.isOpen) endOffset = end;
    }
    return { walk, endOffset };
  }

  /** Makes a log of one snapshot out of the log, beside it, and puts it in its place. Runs among the queued work. */
  async #rewrite(): Promise<void> {
    const { walk } = await this.#learn();
    const beside = `${this.#path}.rewrite`;
    await rm(beside, { force: true });
    const file = await open(beside, "wx", 0o600);
    try {
      await file.writeFile(firstLine(this.#sets));
      for await (const message of this.#rewritten(walk))
        await file.writeFile(Buffer.concat([frameHead(message), message]));
      await file.sync();
    } catch (error) {
      await file.close();
      await rm(beside, { force: true });
      throw error;
    }
    await this.#adopt(file, beside);
  }

  async *#rewritten(walk: LogWalk): AsyncGenerator<Buffer> {
    const { revision, epoch } = walk;
    const common = { snapshot: true, authoritative: true, fromRevision: 0, changedAtMs: 0 };
    let parts: Buffer[] = [encodeBegin({ revision, epoch, ...common })];
    let size = 0;
    const counter = { ordinal: 0 };
    for await (const { bytes } of readFrames(this.#path, this.#offset)) {
      for (const { fieldStart, end } of walk.alive(bytes, counter)) {
        if (size > 0 && size + end - fieldStart > REWRITE_MESSAGE_BYTES) {
          yield Buffer.concat(parts);
          parts = [];
          size = 0;
        }
        parts.push(Buffer.from(bytes.subarray(fieldStart, end)));
        size += end - fieldStart;
      }
    }
    yield Buffer.concat([...parts, encodeCommit({ revision, leftOut: 0 })]);
  }

  async #replace(spool: FileHandle): Promise<void> {
    await spool.sync();
    await this.#adopt(spool, this.#spoolPath);
  }

  /** Renames a finished file over the log and goes on with it. */
  async #adopt(file: FileHandle, path: string): Promise<void> {
    await rename(path, this.#path);
    await syncFolder(dirname(this.#path));
    await this.#file?.close();
    this.#file = file;
    this.#offset = (await file.stat()).size;
    this.#baseBytes = this.#offset;
    this.#hasDifferences = false;
  }
}

function learnSafely(walk: LogWalk, bytes: Buffer): boolean {
  try {
    return walk.learn(bytes);
  } catch (error) {
    if (error instanceof NodeplaneError) return false;
    throw error;
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, offset: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const result = await file.write(bytes, written, bytes.length - written, offset + written);
    written += result.bytesWritten;
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
