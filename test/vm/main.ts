/**
 * `npm run vm -- [--guests N] [--timeout SECONDS] [--memory MIB] COMMAND [ARGUMENT]…`
 * Runs a command as root in a virtual machine with Debian's stock kernel, on the bundle and the tests of this checkout.
 * Exit status: the command's; with several guests the highest; 124 when time is over or a guest broke; 2 for a wrong call.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { GuestFailed, type GuestOptions, runGuest, type Wire } from "./guest.ts";
import { projectImage } from "./project-image.ts";

const ROOT = join(import.meta.dirname, "../..");
const MAX_GUESTS = 4;
const USAGE = "usage: npm run vm -- [--guests N] [--timeout SECONDS] [--memory MIB] COMMAND [ARGUMENT]…";

class UsageError extends Error {}

type Call = {
  readonly guests: number;
  readonly timeoutSeconds: number;
  readonly memoryMebibytes: number;
  readonly words: readonly string[];
};

function say(text: string): void {
  process.stderr.write(`vm: ${text}\n`);
}

/** Options stand before the command; everything from the command on is the guest's. */
function parseCall(args: readonly string[]): Call {
  const limits = { guests: [1, MAX_GUESTS], timeout: [1, 21_600], memory: [256, 8192] } as const;
  const given = { guests: 1, timeout: 1800, memory: 1024 };
  let at = 0;
  for (; args[at]?.startsWith("--") === true; at += 2) {
    const name = (["guests", "timeout", "memory"] as const).find((known) => `--${known}` === args[at]);
    if (name === undefined) throw new UsageError(`unknown option ${args[at]}`);
    const value = Number(args[at + 1]);
    const [least, most] = limits[name];
    if (!Number.isInteger(value) || value < least || value > most)
      throw new UsageError(`--${name} must be a number from ${least} to ${most}`);
    given[name] = value;
  }
  const words = args.slice(at);
  if (words.length === 0) throw new UsageError("a command is missing");
  return { guests: given.guests, timeoutSeconds: given.timeout, memoryMebibytes: given.memory, words };
}

/** The paths among the words (also after a `=`), as absolute paths; what the project image has anyway is not needed. */
function filesNamed(words: readonly string[], directory: string): readonly string[] {
  const inImage = ["test", "src", "bench", "systemd", "native", "node_modules", "bin", "dist"];
  return words
    .flatMap((word) => [word, word.slice(word.indexOf("=") + 1)])
    .filter((word) => word.includes("/") || word.includes("."))
    .map((word) => resolve(directory, word))
    .filter((path) => existsSync(path) && path !== "/" && !ROOT.startsWith(path))
    .filter((path) => !inImage.some((part) => path.startsWith(join(ROOT, part, "/"))))
    .filter((path) => !/^\/(?:usr|bin|sbin|lib|dev|proc|sys)\b/.test(path))
    .filter((path, index, all) => all.indexOf(path) === index);
}

/** Guest 0 is the middle of a star: it listens on one socket for each other guest. */
function networkOf(index: number, guests: number, sockets: string): NonNullable<GuestOptions["network"]> {
  const others = Array.from({ length: guests - 1 }, (_, other) => other + 1);
  const wires: readonly Wire[] =
    index === 0
      ? others.map((other) => ({ socket: join(sockets, `wire${other}`), listens: true }))
      : [{ socket: join(sockets, `wire${index}`), listens: false }];
  return { address: `10.250.0.${index + 1}`, mac: `52:54:00:00:00:0${index + 1}`, wires };
}

/** Whole lines of several guests, each behind the guest's number. */
function prefixed(write: (text: string) => void, prefix: string): (bytes: Buffer) => void {
  let rest = "";
  return (bytes) => {
    const lines = (rest + bytes.toString()).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) write(`${prefix}${line}\n`);
  };
}

async function runGuests(call: Call, signal: AbortSignal): Promise<number> {
  const base = execFileSync("sh", [join(import.meta.dirname, "base-image.sh")], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  }).trim();
  const project = projectImage(say);
  const directory = process.env["INIT_CWD"] ?? process.cwd();
  const sockets = mkdtempSync(join(tmpdir(), "nodeplane-vm-net-"));
  try {
    const runs = Array.from({ length: call.guests }, async (_, index) => {
      const alone = call.guests === 1;
      const prefix = `[${index}] `;
      const network = networkOf(index, call.guests, sockets);
      const write = (stream: NodeJS.WriteStream) => (text: string | Buffer) => void stream.write(text);
      // The others connect once, at their start: the middle must listen by then.
      if (index > 0) await new Promise((done) => setTimeout(done, 2000));
      return runGuest({
        base,
        project,
        directory: existsSync(directory) && directory.startsWith(ROOT) ? directory : ROOT,
        words: call.words,
        files: filesNamed(call.words, directory),
        environment: {
          PATH: `${join(ROOT, "node_modules/node/bin")}:${join(ROOT, "bin")}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin`,
          VM_GUEST: String(index),
          NODEPLANE_TEST_PATIENCE: "20",
          // Compiling is what an emulated processor does worst; programs are started again and again.
          NODE_COMPILE_CACHE: "/tmp/compile-cache",
          ...(alone ? {} : { VM_ADDRESS: network.address }),
        },
        ...(alone ? {} : { network }),
        timeoutSeconds: call.timeoutSeconds,
        memoryMebibytes: call.memoryMebibytes,
        processors: 2,
        onOutput: alone ? write(process.stdout) : prefixed(write(process.stdout), prefix),
        onError: alone ? write(process.stderr) : prefixed(write(process.stderr), prefix),
        signal,
      });
    });
    const ends = await Promise.allSettled(runs);
    const broken = ends.find((end) => end.status === "rejected");
    if (broken !== undefined) throw broken.reason;
    return Math.max(...ends.map((end) => (end.status === "fulfilled" ? end.value : 0)));
  } finally {
    rmSync(sockets, { recursive: true, force: true });
  }
}

const stopped = new AbortController();
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => stopped.abort());
try {
  process.exitCode = await runGuests(parseCall(process.argv.slice(2)), stopped.signal);
} catch (error) {
  if (!(error instanceof UsageError || error instanceof GuestFailed)) throw error;
  say(error.message);
  if (error instanceof UsageError) say(USAGE);
  process.exitCode = error instanceof UsageError ? 2 : 124;
}
