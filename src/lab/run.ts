/** Layer lab. Runs one short command and collects its output; a failure becomes one COMMAND_FAILED error. */
import { spawn } from "node:child_process";
import { NodeplaneError } from "../model/errors.ts";
import { SYSTEM_PATH } from "./programs.ts";

export interface RunOptions {
  /** Written to standard input, which is then closed. */
  readonly input?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface RunResult {
  /** Exit status; 128 + signal number as a shell would say is not computed: -1 stands for "killed". */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

const MAX_OUTPUT = 16 << 20;

/** Runs `argv` to its end, whatever its exit status. @throws {NodeplaneError} COMMAND_FAILED when it cannot be started */
export function tryRun(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [file = "", ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, PATH: `${process.env["PATH"] ?? ""}:${SYSTEM_PATH}`, ...options.env },
      ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      killSignal: "SIGKILL",
    });
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name].setEncoding("utf8");
      child[name].on("data", (text: string) => {
        if (output[name].length < MAX_OUTPUT) output[name] += text;
      });
    }
    child.on("error", (cause) =>
      reject(
        new NodeplaneError("COMMAND_FAILED", { operation: argv.join(" "), detail: cause.message }, cause),
      ),
    );
    child.on("close", (code) => resolve({ status: code ?? -1, ...output }));
    child.stdin.on("error", () => {}); // the command may end without reading
    child.stdin.end(options.input ?? "");
  });
}

/** As {@link tryRun}, but a non-zero status is an error. @returns standard output */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await tryRun(argv, options);
  if (result.status === 0) return result.stdout;
  const said = (result.stderr || result.stdout).trim().split("\n").slice(-3).join(" | ");
  throw new NodeplaneError("COMMAND_FAILED", {
    operation: argv.join(" ").slice(0, 200),
    detail: said === "" ? `exit status ${result.status}` : said,
  });
}
