/**
 * The resolver as a process of its own, as a user runs it, on loopback. Ports are 0 (the system chooses) or `{PORT}` in the
 * Corefile and the files beside it: one free port, the same everywhere.
 */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { withFreePort } from "../support/free-port.ts";

export interface ResolverProcess {
  /** Of the first DNS listener. */
  readonly port: number;
  /** Pages as `host:port`, in the order of the configuration. */
  readonly http: readonly string[];
  /** Everything that it logged so far. */
  readonly log: () => string;
  readonly pid: number;
  /** Writes the Corefile anew. */
  readonly configure: (corefile: string) => void;
  signal(signal: NodeJS.Signals): void;
  /** Sends SIGTERM and waits. @returns the exit status */
  stop(): Promise<number | null>;
}

export interface ResolverSetup {
  readonly env?: Readonly<Record<string, string>>;
  /** Beside the Corefile, by path. */
  readonly files?: Readonly<Record<string, string>>;
  /** Path of CoreDNS, to run that in the place of ours; its Corefile has `{PORT}`. */
  readonly peer?: string | undefined;
}

interface Ready {
  readonly port: number;
  readonly http: readonly string[];
}

const START_TIMEOUT_MS = 120_000;
const PORT = "{PORT}";
const root = join(import.meta.dirname, "../..");
const OURS = [
  process.execPath,
  "--disable-warning=ExperimentalWarning",
  join(root, "src/bin/nodeplane.ts"),
  "dns",
] as const;

/** @throws with the log when it does not get ready */
export async function startResolver(
  corefile: string,
  flags: readonly string[],
  setup: ResolverSetup = {},
): Promise<ResolverProcess> {
  const texts = [corefile, ...Object.values(setup.files ?? {})];
  if (!texts.some((text) => text.includes(PORT))) return await launch(corefile, flags, setup, 0);
  return await withFreePort((port) => launch(corefile, flags, setup, port));
}

/** @param port in the place of `{PORT}` */
async function launch(
  corefile: string,
  flags: readonly string[],
  { env, files, peer }: ResolverSetup,
  port: number,
): Promise<ResolverProcess> {
  const folder = mkdtempSync(join(tmpdir(), "nodeplane-dns-"));
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text.replaceAll(PORT, String(port)));
  };
  for (const [name, text] of Object.entries(files ?? {})) write(name, text);
  write("Corefile", corefile);
  const [command, ...args] = peer === undefined ? OURS : [peer];
  const child = spawn(command, [...args, "-conf", join(folder, "Corefile"), ...flags], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  let log = "";
  const ready = Promise.withResolvers<Ready>();
  const timer = setTimeout(() => {
    child.kill("SIGKILL");
    ready.reject(new Error(`not ready in time:\n${log}`));
  }, START_TIMEOUT_MS);
  for (const input of [child.stdout, child.stderr])
    createInterface({ input }).on("line", (line) => {
      log += `${line}\n`;
      const said = readyFrom(line, port);
      if (said !== undefined) ready.resolve(said);
    });
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  void ended.then((code) => {
    rmSync(folder, { recursive: true, force: true });
    ready.reject(new Error(`the resolver ended with ${code} before it was ready:\n${corefile}\n${log}`));
  });
  const said = await ready.promise.finally(() => clearTimeout(timer));
  return {
    ...said,
    log: () => log,
    pid: child.pid ?? 0,
    configure: (text) => write("Corefile", text),
    signal: (signal) => void child.kill(signal),
    stop: () => {
      child.kill("SIGTERM");
      return ended;
    },
  };
}

/** @returns where it listens, when the line says that it does */
function readyFrom(line: string, port: number): Ready | undefined {
  if (line.startsWith("CoreDNS-")) return { port, http: [] };
  if (!line.includes('"msg":"ready"')) return undefined;
  const { addresses, http } = JSON.parse(line) as { addresses: readonly string[]; http: readonly string[] };
  return { port: Number(/:(\d+)$/.exec(addresses[0] ?? "")?.[1]), http };
}
