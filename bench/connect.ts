/** Benchmark `connect`: what a service adds to connect(), over a direct connection, between two namespaces. */
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AgentCore } from "./agent-core.ts";
import type { Bench } from "./figure.ts";
import { percentile } from "./figure.ts";
import { snapshotMessages, welcome } from "./frames.ts";

const CONNECTIONS = 5_000;
const ROUNDS = 7;
const CLIENT = "10.11.255.1";
const PORT = 8080;

function run(command: string): string {
  const [program = "", ...args] = command.split(" ");
  return execFileSync(program, args, { encoding: "utf8" });
}

function address(base: number, offset: number): string {
  const number = base + offset;
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join(".");
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 100 && !holds(); i++) await sleep(20);
}

interface Measured {
  readonly p50: number;
  readonly p99: number;
}

export const bench: Bench = async (options) => {
  const dir = mkdtempSync(join(tmpdir(), "nodeplane-bench-"));
  const tool = join(dir, "connect");
  run(`g++ -O2 -o ${tool} ${join(import.meta.dirname, "connect.cpp")}`);
  const server = `npb${process.pid}`;
  run(`ip netns add ${server}`);
  const child = spawn("ip", ["netns", "exec", server, tool, "server", String(PORT)], { stdio: "ignore" });
  try {
    run(`ip link add npb0 type veth peer name npb1 netns ${server}`);
    run(`ip addr add ${CLIENT}/30 dev npb0`);
    run("ip link set npb0 up");
    run(`ip -n ${server} addr add 10.11.255.2/30 dev npb1`);
    run(`ip -n ${server} link set npb1 up`);
    run(`ip -n ${server} link set lo up`);
    run(`ip -n ${server} route add local 11.0.0.0/8 dev lo`);
    run("ip route add 11.0.0.0/8 via 10.11.255.2");
    run("ip route add 10.96.0.0/12 via 10.11.255.2");
    await sleep(300);
    const measure = (host: string, port: number): Measured =>
      JSON.parse(run(`${tool} client ${host} ${port} ${CONNECTIONS}`)) as Measured;
    const last = options.services - 1;
    const endpoint = address(0x0b000001, last * (options.endpoints + 2) + 1);
    const service = address(0x0a600001, last);
    // Direct is measured without any table: conntrack is part of what a service adds.
    const direct = Array.from({ length: ROUNDS }, () => measure(endpoint, PORT));
    const core = new AgentCore(join(dir, "state"));
    await core.store.load();
    await core.take([welcome(), ...snapshotMessages(options.services, options.endpoints, "cluster-ip")]);
    await core.live();
    const through = Array.from({ length: ROUNDS }, () => measure(service, 80));
    const passing = Array.from({ length: ROUNDS }, () => measure(endpoint, PORT));
    await core.stop();
    run("nft flush ruleset");
    const p50s = (list: readonly Measured[]) => list.map((one) => one.p50);
    const middle = (list: readonly Measured[]) => percentile(p50s(list), 0.5);
    const best = (list: readonly Measured[]) => Math.min(...p50s(list));
    return [
      { figure: "connect_direct_p50", value: middle(direct), unit: "us" },
      { figure: "connect_p50", value: middle(through), unit: "us" },
      { figure: "connect_added", value: middle(through) - middle(direct), unit: "us" },
      { figure: "connect_added_best", value: best(through) - best(direct), unit: "us" },
      { figure: "connect_added_passing_by", value: middle(passing) - middle(direct), unit: "us" },
      { figure: "connect_added_passing_by_best", value: best(passing) - best(direct), unit: "us" },
    ];
  } finally {
    child.kill("SIGKILL");
    // The pair goes with the namespace, a moment later: wait for it, the next size makes another.
    run(`ip netns del ${server}`);
    await until(() => !run("ip -o link").includes("npb0"));
    rmSync(dir, { recursive: true });
  }
};
