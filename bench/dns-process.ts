/** Benchmarks. DNS servers as processes alone on one core, the generator on another, and what the kernel says of them. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { TYPE } from "../src/codec/dns/constants.ts";
import { queryPacket } from "./dns-queries.ts";

const SERVER_CORE = "1";
const LOAD_CORE = "0";
const START_MS = 120_000;
const WINDOW = 128;
const root = join(import.meta.dirname, "..");

export interface Load {
  readonly answered: number;
  readonly bad: number;
  readonly p50: number;
  readonly p99: number;
}

export interface Memory {
  readonly privateMb: number;
  readonly residentMb: number;
}

/** Processes and files of one run. */
export class DnsLab {
  readonly folder = mkdtempSync(join(tmpdir(), "nodeplane-bench-"));
  readonly tool = join(this.folder, "dnsload");
  readonly #children: ChildProcess[] = [];
  #bundle: string | undefined;

  constructor() {
    execFileSync("g++", ["-std=c++20", "-O2", "-o", this.tool, join(import.meta.dirname, "dns-load.cpp")]);
  }

  /** The loop in C that does nothing but read and write. */
  async cLoop(port: number, core: "server" | "load"): Promise<DnsProcess> {
    const cpu = core === "server" ? SERVER_CORE : LOAD_CORE;
    const child = this.#start("taskset", ["-c", cpu, this.tool, "serve", String(port)]);
    await sleep(300);
    return new DnsProcess(this.tool, child, port);
  }

  /** Our resolver as it is released: bundled, with the flags of `bin/nodeplane`. */
  async nodeplane(corefile: string, flags: readonly string[]): Promise<DnsProcess> {
    this.#bundle ??= this.#makeBundle();
    const file = join(this.folder, "Corefile");
    writeFileSync(file, corefile);
    const command = ["-c", SERVER_CORE, join(this.#bundle, "bin/nodeplane"), "dns", "-conf", file, ...flags];
    const child = this.#start("taskset", command);
    const log = await firstLine(child, /"msg":"ready"/);
    const port = Number(/dns:\/\/127\.0\.0\.1:(\d+)/.exec(log)?.[1]);
    return new DnsProcess(this.tool, child, port);
  }

  /** CoreDNS; the Corefile names the port. @param known is answered once it is ready */
  async coredns(
    path: string,
    corefile: string,
    known: { readonly port: number; readonly name: string },
  ): Promise<DnsProcess> {
    const file = join(this.folder, "Corefile.coredns");
    writeFileSync(file, corefile);
    const child = this.#start("taskset", ["-c", SERVER_CORE, path, "-conf", file]);
    let log = "";
    for (const stream of [child.stderr, child.stdout])
      stream?.on("data", (text: Buffer) => (log += text.toString()));
    const until = performance.now() + START_MS;
    while (!(await answers(known.port, known.name))) {
      if (performance.now() > until || child.exitCode !== null)
        throw new Error(`coredns does not answer: ${log}`);
      await sleep(200);
    }
    return new DnsProcess(this.tool, child, known.port);
  }

  async close(): Promise<void> {
    for (const child of this.#children) child.kill("SIGKILL");
    await sleep(100);
    rmSync(this.folder, { recursive: true, force: true });
  }

  #makeBundle(): string {
    const out = join(this.folder, "bundle");
    execFileSync(process.execPath, [join(root, "packaging/bundle.ts"), out], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    return out;
  }

  #start(command: string, args: readonly string[]): ChildProcess {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    this.#children.push(child);
    return child;
  }
}

export class DnsProcess {
  readonly #tool: string;
  readonly #child: ChildProcess;
  readonly port: number;

  constructor(tool: string, child: ChildProcess, port: number) {
    this.#tool = tool;
    this.#child = child;
    this.port = port;
  }

  /** Seconds of processor time of all threads so far. */
  cpuSeconds(): number {
    const tasks = `/proc/${this.#child.pid}/task`;
    const times = readdirSync(tasks).map((task) =>
      Number(readFileSync(`${tasks}/${task}/schedstat`, "utf8").split(" ")[0]),
    );
    return times.reduce((sum, time) => sum + time, 0) / 1e9;
  }

  memory(): Memory {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, "utf8");
    const of = (field: string): number =>
      Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) / 1024;
    return { privateMb: of("RssAnon"), residentMb: of("VmRSS") };
  }

  /** @param seconds 0: each query of the file once; @param rate queries a second, 0: as many as the window allows */
  load(
    file: string,
    how: { readonly seconds: number; readonly window?: number; readonly rate?: number },
  ): Load {
    const { seconds, window = WINDOW, rate = 0 } = how;
    const args = ["-c", LOAD_CORE, this.#tool, "send", ...[this.port, seconds, window].map(String), file];
    const text = execFileSync("taskset", [...args, String(rate)], { encoding: "utf8" });
    const [, answered = 0, bad = 0, p50 = 0, p99 = 0] = text.trim().split(" ").map(Number);
    return { answered, bad, p50, p99 };
  }

  /** Half of the queries go to `count` services whose versions `state` holds (dns-load.cpp). */
  async soak(
    file: string,
    how: { readonly seconds: number; readonly state: string; readonly count: number },
  ): Promise<Load & { readonly sent: number; readonly stale: number }> {
    const numbers = [this.port, how.seconds, WINDOW].map(String);
    const args = ["-c", LOAD_CORE, this.#tool, "soak", ...numbers, file, how.state, String(how.count)];
    const { stdout } = await promisify(execFile)("taskset", args);
    const [sent = 0, answered = 0, bad = 0, p50 = 0, p99 = 0, stale = 0] = stdout
      .trim()
      .split(" ")
      .map(Number);
    return { sent, answered, bad, p50, p99, stale };
  }

  async stop(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once("exit", resolve));
    if (this.#child.exitCode === null && this.#child.kill("SIGKILL")) await gone;
  }
}

async function firstLine(child: ChildProcess, pattern: RegExp): Promise<string> {
  return await new Promise<string>((resolve, reject) => {
    let log = "";
    const timer = setTimeout(() => reject(new Error(`not ready: ${log}`)), START_MS);
    child.once("exit", () => reject(new Error(log)));
    child.stdout?.resume();
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      if (pattern.test(log)) return;
      log += text;
      const line = log.split("\n").find((one) => pattern.test(one));
      if (line === undefined) return;
      clearTimeout(timer);
      resolve(line);
    });
  });
}

/** True when the name has an address there. */
async function answers(port: number, name: string): Promise<boolean> {
  const socket = createSocket("udp4");
  try {
    return await new Promise<boolean>((resolve) => {
      socket.once("message", (reply) => resolve(reply.readUInt16BE(6) > 0));
      socket.once("error", () => resolve(false));
      setTimeout(() => resolve(false), 500);
      socket.send(queryPacket({ name, type: TYPE.A }), port, "127.0.0.1");
    });
  } finally {
    socket.close();
  }
}
