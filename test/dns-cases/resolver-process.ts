/** The resolver as a process of its own, as a user runs it, on loopback and ports that the system chooses. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

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

const START_TIMEOUT_MS = 30_000;
const root = join(import.meta.dirname, "../..");

/**
 * @param files beside the Corefile, by name
 * @throws with the log when it does not get ready
 */
export async function startResolver(
  corefile: string,
  flags: readonly string[],
  env: Readonly<Record<string, string>> = {},
  files: Readonly<Record<string, string>> = {},
): Promise<ResolverProcess> {
  const folder = mkdtempSync(join(tmpdir(), "nodeplane-dns-"));
  const path = join(folder, "Corefile");
  writeFileSync(path, corefile);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const child = spawn(
    process.execPath,
    [
      "--disable-warning=ExperimentalWarning",
      join(root, "src/bin/nodeplane.ts"),
      "dns",
      "-conf",
      path,
      ...flags,
    ],
    { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } },
  );
  let log = "";
  const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  const ready = new Promise<{ addresses: string[]; http: string[] }>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`not ready in time:\n${log}`));
    }, START_TIMEOUT_MS);
    let rest = "";
    const onText = (text: string): void => {
      log += text;
      rest += text;
      const lines = rest.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (!line.includes('"msg":"ready"')) continue;
        clearTimeout(timer);
        resolve(JSON.parse(line) as { addresses: string[]; http: string[] });
      }
    };
    child.stderr.setEncoding("utf8").on("data", onText);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      log += text;
    });
    void exited.then((code) => {
      clearTimeout(timer);
      reject(new Error(`the resolver ended with ${code} before it was ready:\n${corefile}\n${log}`));
    });
  });
  void exited.then(() => rmSync(folder, { recursive: true, force: true }));
  const { addresses, http } = await ready;
  return {
    port: Number(/:(\d+)$/.exec(addresses[0] ?? "")?.[1]),
    http,
    log: () => log,
    pid: child.pid ?? 0,
    configure: (text) => writeFileSync(path, text),
    signal: (signal) => void child.kill(signal),
    stop: () => {
      child.kill("SIGTERM");
      return exited;
    },
  };
}
