/**
 * The chain in TypeScript under load: `node bench/dns.bench.ts [SECONDS]`. The resolver runs as a process with generated
 * services; this process keeps a window of queries in flight and reads the server's own CPU time from /proc.
 */
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeMessage } from "../src/codec/dns/encode.ts";

const SERVICES = 1_000;
const WINDOW = 64;
const TICKS_PER_SECOND = 100;
const seconds = Number(process.argv[2] ?? 5);
const root = join(import.meta.dirname, "..");
const folder = mkdtempSync(join(tmpdir(), "nodeplane-bench-dns-"));

function objects(): string {
  return Array.from({ length: SERVICES }, (_, i) =>
    JSON.stringify({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: `svc${i}`, namespace: "bench" },
      spec: { clusterIP: `10.96.${i >> 8}.${i & 255}`, ports: [{ name: "http", port: 80 }] },
    }),
  ).join("\n");
}

function queryOf(i: number): Buffer {
  const name = `svc${i % SERVICES}.bench.svc.cluster.local.`;
  return encodeMessage({
    id: i & 0xffff,
    isResponse: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: 0,
    questions: [{ name, type: i % 2 === 0 ? 1 : 28, class: 1 }],
    answers: [],
    authorities: [],
    additionals: [],
    edns: { udpBytes: 1232, version: 0, dnssecOk: false, options: [] },
  });
}

function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

writeFileSync(join(folder, "objects.jsonl"), objects());
writeFileSync(
  join(folder, "Corefile"),
  ".:0 {\n bind 127.0.0.1\n errors\n prometheus 127.0.0.1:0\n kubernetes cluster.local in-addr.arpa ip6.arpa\n loadbalance\n}\n",
);
const server = spawn(
  process.execPath,
  [
    join(root, "src/bin/nodeplane.ts"),
    "dns",
    "-conf",
    join(folder, "Corefile"),
    "--objects",
    join(folder, "objects.jsonl"),
  ],
  { stdio: ["ignore", "ignore", "pipe"] },
);
const port = await new Promise<number>((resolve) => {
  let log = "";
  server.stderr.setEncoding("utf8").on("data", (text: string) => {
    log += text;
    const match = /dns:\/\/127\.0\.0\.1:(\d+)".*"msg":"ready"/.exec(log);
    if (match !== null) resolve(Number(match[1]));
  });
});
const queries = Array.from({ length: 2 * SERVICES }, (_, i) => queryOf(i));
const socket = createSocket("udp4");
await new Promise<void>((resolve) => socket.connect(port, "127.0.0.1", resolve));
let sent = 0;
let answered = 0;
const send = (): void => socket.send(queries[sent++ % queries.length] ?? Buffer.alloc(0));
socket.on("message", () => {
  answered++;
  send();
});
for (let i = 0; i < WINDOW; i++) send();
await new Promise((resolve) => setTimeout(resolve, 1_000));
const pid = server.pid ?? 0;
const before = { answered, cpu: cpuSeconds(pid) };
await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
const cpu = cpuSeconds(pid) - before.cpu;
const count = answered - before.answered;
socket.close();
server.kill("SIGTERM");
rmSync(folder, { recursive: true, force: true });
const figure = {
  bench: "dns",
  figure: "dns_per_cpu_second",
  value: Math.round(count / cpu),
  unit: "1/s",
  services: SERVICES,
};
process.stdout.write(`${JSON.stringify({ ...figure, answered: count, cpuSeconds: cpu })}\n`);
