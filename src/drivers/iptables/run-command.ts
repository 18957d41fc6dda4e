/** Layer drivers. Runs a command with input and takes its output, both bounded. Throws only when it cannot be run at all. */
import { spawn } from "node:child_process";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
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

const MAX_STDERR_BYTES = 16_384;
/** Lines are joined to pieces of about this size, so that a large input needs few writes. */
const PIECE_CHARACTERS = 65_536;

function* pieces(lines: readonly string[]): Generator<string> {
  let piece = "";
  for (const line of lines) {
    piece += `${line}\n`;
    if (piece.length < PIECE_CHARACTERS) continue;
    yield piece;
    piece = "";
  }
  if (piece !== "") yield piece;
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
  input: readonly string[],
  limits: CommandLimits,
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
  const timer = setTimeout(() => stop(`is not done after ${limits.timeoutMs / 1000} s`), limits.timeoutMs);
  const closed = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(code ?? (signal === null ? 255 : 137)));
  });
  try {
    // A command that dies early closes its input; its status and words say why.
    const written = pipeline(Readable.from(pieces(input)), child.stdin).catch(() => {});
    const status = await closed;
    await written;
    if (failure !== undefined)
      throw new NodeplaneError("IPTABLES_FAILED", { operation: command, detail: failure });
    return { status, stdout: stdout.toString(), stderr: stderr.toString() };
  } catch (error) {
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
