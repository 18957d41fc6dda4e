/**
 * `npm run bench -- NAME [--mode nftables|iptables|ipvs] [--variant legacy|nft] [--services N[,N…]] [--endpoints M]
 * [--peer NAME=PATH] [--json FILE]`. Runs itself again inside a network namespace of its own; the machine's is never touched.
 */
import { spawnSync } from "node:child_process";
import { appendFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { Bench, BenchOptions, Figure } from "./figure.ts";

const INSIDE = "NODEPLANE_BENCH_NAMESPACE";

type Benches = Readonly<Record<string, () => Promise<Bench>>>;

const IPTABLES: Benches = {
  change: async () => (await import("./iptables-change.ts")).bench,
  sync: async () => (await import("./iptables-sync.ts")).bench,
};
const IPVS: Benches = {
  change: async () => (await import("./ipvs-change.ts")).bench,
  sync: async () => (await import("./ipvs-sync.ts")).bench,
};
const BENCHES: Benches = {
  change: async () => (await import("./change.ts")).bench,
  sync: async () => (await import("./sync.ts")).bench,
  restart: async () => (await import("./restart.ts")).bench,
  memory: async () => (await import("./restart.ts")).memoryBench,
  connect: async () => (await import("./connect.ts")).bench,
  dns: async () => (await import("./dns.ts")).bench,
  "dns-change": async () => (await import("./dns-change.ts")).bench,
  "dns-memory": async () => (await import("./dns-memory.ts")).bench,
  fanout: async () => (await import("./fanout.ts")).bench,
};

const PEERS: Readonly<Record<string, string>> = { dns: "coredns" };

function fail(text: string): never {
  process.stderr.write(`bench: ${text}\n`);
  process.exit(2);
}

function positive(text: string, flag: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1 || number > 1_000_000)
    fail(`${flag} ${text}: a whole number from 1 to 1000000 is needed`);
  return number;
}

function peerOf(text: string): [string, string] {
  const at = text.indexOf("=");
  const peer = text.slice(0, at);
  if (PEERS[name] !== peer || at === text.length - 1)
    fail(`--peer ${text}: must be NAME=PATH; of ${name} NAME can be ${PEERS[name] ?? "nothing so far"}`);
  return [peer, text.slice(at + 1)];
}

function show(figure: Figure, options: BenchOptions): void {
  const size = `${options.services} x ${options.endpoints}`;
  const of = figure.peer === undefined ? "" : `  (${figure.peer})`;
  process.stdout.write(
    `${figure.figure.padEnd(28)} ${figure.value.toFixed(2).padStart(12)} ${figure.unit}  ${size}${of}\n`,
  );
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    mode: { type: "string", default: "nftables" },
    variant: { type: "string", default: "legacy" },
    services: { type: "string", default: "1000,10000,30000" },
    endpoints: { type: "string", default: "10" },
    peer: { type: "string", multiple: true },
    json: { type: "string" },
  },
});
const [name = ""] = positionals;
const { mode, variant } = values;
if (mode !== "nftables" && mode !== "iptables" && mode !== "ipvs")
  fail(`--mode ${mode}: must be nftables, iptables or ipvs`);
if (variant !== "legacy" && variant !== "nft") fail(`--variant ${variant}: must be legacy or nft`);
const benches = { nftables: BENCHES, iptables: IPTABLES, ipvs: IPVS }[mode];
const load = benches[name];
if (load === undefined)
  fail(`"${name}" is no benchmark of mode ${mode}; there are ${Object.keys(benches).join(", ")}`);
const peers = new Map((values.peer ?? []).map((text) => peerOf(text)));
const sizes = values.services.split(",").map((text) => positive(text, "--services"));
const endpoints = positive(values.endpoints, "--endpoints");

if (process.env[INSIDE] === undefined) {
  const command = ["-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", process.execPath];
  const flags = ["--disable-warning=ExperimentalWarning", ...process.argv.slice(1)];
  const env = { ...process.env, [INSIDE]: "1" };
  process.exit(spawnSync("unshare", [...command, ...flags], { stdio: "inherit", env }).status ?? 1);
}
const bench = await load();
for (const services of sizes) {
  const say = (text: string) => void process.stderr.write(`${text}\n`);
  const options: BenchOptions = { mode, variant, services, endpoints, peers, say };
  for (const figure of await bench(options)) {
    show(figure, options);
    const line = { bench: name, mode, services, endpoints, ...figure, peer: figure.peer ?? null };
    if (values.json !== undefined) appendFileSync(values.json, `${JSON.stringify(line)}\n`);
  }
}
