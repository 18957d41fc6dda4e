/**
 * Layer drivers. Runs a command with input and takes its output, both bounded. Throws only when it cannot be run at all, or when its
 * input cannot be worked out.
 */
import { spawn } from "node:child_process";
import type { Writable } from "node:stream";
import { NodeplaneError } from "../../model/errors.ts";

export interface CommandOutcome {
  /** Exit status, 128 + signal when it was killed. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandLimits {
  readonly timeoutMs: number;
  readonly maxOutputBytes: number;
}

export interface CommandInput {
  /** Whole lines, some at a time, without the last one's end. Asked for as fast as the command reads. */
  readonly text: Iterable<string>;
  /** The command is started at once, but gets nothing to read before this is over. Must not reject. */
  readonly after?: Promise<unknown>;
}

const NO_INPUT: CommandInput = { text: [] };
const MAX_STDERR_BYTES = 16_384;
/** Lines are joined to pieces of about this size, so that a large input needs few writes; the first ones are small, to begin early. */
const PIECE_CHARACTERS = 65_536;
const FIRST_PIECE_CHARACTERS = 2_048;

function* pieces(text: Iterable<string>): Generator<string> {
  let piece = "";
  let size = FIRST_PIECE_CHARACTERS;
  for (const lines of text) {
    piece += `${lines}\n`;
    if (piece.length < size) continue;
    yield piece;
    piece = "";
    size = Math.min(size * 2, PIECE_CHARACTERS);
  }
  if (piece !== "") yield piece;
}

/** Resolves when all is written, or the command reads no more: its status and words say why. */
async function feed(stdin: Writable, text: Iterable<string>): Promise<void> {
  for (const piece of pieces(text)) {
    const isWritten = await new Promise<boolean>((resolve) => {
      stdin.write(piece, (error) => resolve(error === null || error === undefined));
    });
    if (!isWritten) return;
  }
  stdin.end();
}

class BoundedText {
  readonly #parts: Buffer[] = [];
  readonly #limit: number;
  #size = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @returns false when the limit is passed; what is beyond is lost */
  push(part: Buffer): boolean {
    if (this.#size < this.#limit) this.#parts.push(part.subarray(0, this.#limit - this.#size));
    this.#size += part.length;
    return this.#size <= this.#limit;
  }

  toString(): string {
    return Buffer.concat(this.#parts).toString("utf8");
  }
}

/** @throws {NodeplaneError} IPTABLES_FAILED when the command does not start, takes too long or says too much */
export async function runCommand(
  command: string,
  args: readonly string[],
  limits: CommandLimits,
  input: CommandInput = NO_INPUT,
): Promise<CommandOutcome> {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
  const stdout = new BoundedText(limits.maxOutputBytes);
  const stderr = new BoundedText(MAX_STDERR_BYTES);
  let failure: string | undefined;
  const stop = (why: string): void => {
    failure ??= why;
    child.kill("SIGKILL");
  };
  child.stdout.on("data", (part: Buffer) => {
    if (!stdout.push(part)) stop(`says more than ${limits.maxOutputBytes} bytes`);
  });
  child.stderr.on("data", (part: Buffer) => void stderr.push(part));
  // A command that dies early closes its input.
  child.stdin.on("error", () => {});
  let timer: NodeJS.Timeout | undefined;
  const closed = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(code ?? (signal === null ? 255 : 137)));
  });
  const fed = async (): Promise<void> => {
    await input.after;
    timer = setTimeout(() => stop(`is not done after ${limits.timeoutMs / 1000} s`), limits.timeoutMs);
    await feed(child.stdin, input.text);
  };
  try {
    const [status] = await Promise.all([closed, fed()]);
    if (failure !== undefined)
      throw new NodeplaneError("IPTABLES_FAILED", { operation: command, detail: failure });
    return { status, stdout: stdout.toString(), stderr: stderr.toString() };
  } catch (error) {
    // Without its last line the command changes nothing.
    child.kill("SIGKILL");
    if (error instanceof NodeplaneError) throw error;
    throw new NodeplaneError(
      "IPTABLES_FAILED",
      { operation: command, detail: (error as Error).message },
      error,
    );
  } finally {
    clearTimeout(timer);
  }
}
