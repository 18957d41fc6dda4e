/** Starts what Corefile cases ask: the upstream, our resolver, and another one beside it where its program is given. */
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { askText } from "./ask.ts";
import { type CorefileCase, UPSTREAM_ZONES } from "./corefiles.ts";

export interface Server {
  readonly port: number;
  readonly log: () => string;
  stop(): Promise<void>;
}

const START_MS = 30_000;
const root = join(import.meta.dirname, "../..");
const OURS = [
  process.execPath,
  "--disable-warning=ExperimentalWarning",
  join(root, "src/bin/nodeplane.ts"),
  "dns",
];

export async function freePort(): Promise<number> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}

/** The zones of the cases, served by our own `file` plugin. */
export async function startUpstream(): Promise<Server> {
  const zones = Object.entries(UPSTREAM_ZONES);
  const blocks = zones.map(([zone], i) => `${zone}:{PORT} {\n file zone${i}\n}\n`);
  const files = Object.fromEntries(zones.map(([zone, text], i) => [`zone${i}`, `$ORIGIN ${zone}.\n${text}`]));
  const rest = ".:{PORT} {\n template ANY ANY {\n rcode NXDOMAIN\n }\n}\n";
  return start(
    { name: "upstream", corefile: blocks.join("") + rest, files, questions: [] },
    { program: OURS, upstream: 0 },
  );
}

/** @param peer path of CoreDNS; ours without one */
export async function startCase(entry: CorefileCase, upstream: number, peer?: string): Promise<Server> {
  return start(entry, { program: peer === undefined ? OURS : [peer], upstream });
}

async function start(
  entry: CorefileCase,
  how: { readonly program: readonly string[]; readonly upstream: number },
): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), "nodeplane-corefile-"));
  const port = await freePort();
  const fill = (text: string): string =>
    text.replaceAll("{PORT}", String(port)).replaceAll("{UP}", `127.0.0.1:${how.upstream}`);
  for (const [path, text] of Object.entries({ ...entry.files, Corefile: entry.corefile })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), fill(text));
  }
  const [command = "", ...args] = how.program;
  const child = spawn(command, [...args, "-conf", join(folder, "Corefile")], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  const keep = (text: string): void => {
    log += text;
  };
  child.stdout.setEncoding("utf8").on("data", keep);
  child.stderr.setEncoding("utf8").on("data", keep);
  let isGone = false;
  const exited = new Promise<void>((resolve) =>
    child.once("exit", () => {
      isGone = true;
      rmSync(folder, { recursive: true, force: true });
      resolve();
    }),
  );
  const until = performance.now() + START_MS;
  const isReady = (): boolean => /"msg":"ready"|^CoreDNS-/m.test(log);
  while (!isReady()) {
    if (isGone || performance.now() > until) throw new Error(`${entry.name}: it did not start:\n${log}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  return {
    port,
    log: () => log,
    stop: async () => {
      child.kill("SIGTERM");
      await exited;
    },
  };
}

/** Every question in its order, as `question` and what came. */
export async function play(entry: CorefileCase, port: number): Promise<readonly string[]> {
  const texts: string[] = [];
  for (const question of entry.questions) texts.push(await askText(question, port));
  return texts;
}
