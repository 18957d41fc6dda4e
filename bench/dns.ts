/**
 * Benchmark `dns`: answers per second of the server's own CPU time, the server alone on one core, the generator on another:
 * cluster names and cached names through the native engine, cluster names through the plugin chain, and beside them a loop
 * in C that does nothing but read and write. Names are asked in mixed case, every answer is checked by the generator.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { encodeMessage } from "../src/codec/dns/encode.ts";
import type { Bench, Figure } from "./figure.ts";

const SECONDS = 5;
const WINDOW = 128;
const MAX_NAMES = 5_000;
const TICKS_PER_SECOND = 100;
const SERVER_CORE = "1";
const LOAD_CORE = "0";
const UPSTREAM_PORT = 15_353;
const LOOP_PORT = 15_354;
const root = join(import.meta.dirname, "..");

interface Load {
  readonly answered: number;
  readonly bad: number;
  readonly p50: number;
  readonly p99: number;
}

function query(name: string, type: number): Buffer {
  return encodeMessage({
    id: 0,
    isResponse: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: 0,
    questions: [{ name, type, class: 1 }],
    answers: [],
    authorities: [],
    additionals: [],
    edns: { udpBytes: 1232, version: 0, dnssecOk: false, options: [] },
  });
}

/** Every third letter in upper case: the spelling is the client's business. */
function mixed(name: string): string {
  return name.replaceAll(/[a-z]/g, (letter, at: number) => (at % 3 === 0 ? letter.toUpperCase() : letter));
}

function writeQueries(path: string, names: readonly string[]): void {
  const packets = names.flatMap((name, i) => {
    const packet = query(mixed(name), i % 2 === 0 ? 1 : 28);
    return [Buffer.from([packet.length >> 8, packet.length & 255]), packet];
  });
  writeFileSync(path, Buffer.concat(packets));
}

function objects(services: number): string {
  const line = (i: number) => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: `svc${i}`, namespace: "bench" },
    spec: {
      clusterIP: `10.${96 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`,
      ports: [{ name: "http", port: 80 }],
    },
  });
  return Array.from({ length: services }, (_, i) => JSON.stringify(line(i))).join("\n");
}

function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function privateMegabytes(pid: number): number {
  const match = /^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(match?.[1] ?? 0) / 1024;
}

async function startServer(
  folder: string,
  engine: "on" | "off",
): Promise<{ child: ChildProcess; port: number }> {
  const args = [
    "dns",
    "-conf",
    join(folder, "Corefile"),
    "--objects",
    join(folder, "objects.jsonl"),
    "--engine",
    engine,
  ];
  const command = ["-c", SERVER_CORE, process.execPath, join(root, "src/bin/nodeplane.ts"), ...args];
  const child = spawn("taskset", command, { stdio: ["ignore", "ignore", "pipe"] });
  const port = await new Promise<number>((resolve, reject) => {
    let log = "";
    child.once("exit", () => reject(new Error(log)));
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      log += text;
      const match = /dns:\/\/127\.0\.0\.1:(\d+)".*"msg":"ready"/.exec(log);
      if (match !== null) resolve(Number(match[1]));
    });
  });
  return { child, port };
}

class Measurement {
  readonly #tool: string;
  readonly figures: Figure[] = [];

  constructor(tool: string) {
    this.#tool = tool;
  }

  send(port: number, seconds: number, file: string): Load {
    const args = ["-c", LOAD_CORE, this.#tool, "send", String(port), String(seconds), String(WINDOW), file];
    const text = execFileSync("taskset", args, { encoding: "utf8" });
    const [, answered = 0, bad = 0, p50 = 0, p99 = 0] = text.trim().split(" ").map(Number);
    return { answered, bad, p50, p99 };
  }

  /** @param prefix begins the names of the figures */
  run(prefix: string, pid: number, port: number, file: string): void {
    // The first round teaches the engine and warms the compiler.
    this.send(port, 3, file);
    const before = cpuSeconds(pid);
    const load = this.send(port, SECONDS, file);
    const cpu = cpuSeconds(pid) - before;
    this.figures.push(
      { figure: `${prefix}_per_cpu_second`, value: load.answered / cpu, unit: "1/s" },
      { figure: `${prefix}_per_second`, value: load.answered / SECONDS, unit: "1/s" },
      { figure: `${prefix}_bad`, value: load.bad, unit: "count" },
      { figure: `${prefix}_p50`, value: load.p50, unit: "us" },
      { figure: `${prefix}_p99`, value: load.p99, unit: "us" },
    );
  }
}

export const bench: Bench = async (options) => {
  const folder = mkdtempSync(join(tmpdir(), "nodeplane-bench-"));
  const tool = join(folder, "dnsload");
  execFileSync("g++", ["-std=c++20", "-O2", "-o", tool, join(import.meta.dirname, "dns-load.cpp")]);
  const names = Array.from({ length: Math.min(options.services, MAX_NAMES) }, (_, i) => i);
  const cluster = join(folder, "cluster.bin");
  const cached = join(folder, "cached.bin");
  writeQueries(
    cluster,
    names.map((i) => `svc${i}.bench.svc.cluster.local.`),
  );
  writeQueries(
    cached,
    names.map((i) => `www.name${i}.example.com.`),
  );
  writeFileSync(join(folder, "objects.jsonl"), objects(options.services));
  writeFileSync(
    join(folder, "Corefile"),
    `.:0 {
  bind 127.0.0.1
  errors
  prometheus 127.0.0.1:0
  kubernetes cluster.local in-addr.arpa ip6.arpa
  forward . 127.0.0.1:${UPSTREAM_PORT}
  cache 3600
  loadbalance
}
`,
  );
  const children: ChildProcess[] = [];
  const measured = new Measurement(tool);
  try {
    const loops = [UPSTREAM_PORT, LOOP_PORT].map((port) =>
      spawn("taskset", ["-c", SERVER_CORE, tool, "serve", String(port)], { stdio: "ignore" }),
    );
    children.push(...loops);
    await sleep(300);
    measured.run("dns_c_loop", loops[1]?.pid ?? 0, LOOP_PORT, cluster);
    const native = await startServer(folder, "on");
    children.push(native.child);
    measured.run("dns", native.child.pid ?? 0, native.port, cluster);
    measured.run("dns_cached", native.child.pid ?? 0, native.port, cached);
    measured.figures.push({
      figure: "dns_private",
      value: privateMegabytes(native.child.pid ?? 0),
      unit: "MB",
    });
    const chain = await startServer(folder, "off");
    children.push(chain.child);
    measured.run("dns_chain", chain.child.pid ?? 0, chain.port, cluster);
    return measured.figures;
  } finally {
    for (const child of children) child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
};
