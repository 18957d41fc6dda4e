/**
 * Benchmark `connect`: what a service adds to connect(), over a direct connection. Client namespaces reach the same server: one
 * with the agent's table, one with nothing at all (conntrack is part of what a service adds), and two that show the kernel's own
 * part of it: connection tracking alone, and one hand-written `dnat` to the same endpoint, which is the least that any rules
 * can cost. Their rounds alternate and the differences are taken pair by pair, since a virtual machine's speed drifts by more
 * than what is measured.
 */
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
const ROUNDS = 11;
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

/** A cable from `client` (a namespace, or this one for "") to `server`, with the client at 10.244.NET.1 (the pods' range: no masquerading) and the server at .2. */
function cable(client: string, server: string, net: number): void {
  const inside = client === "" ? "" : `-n ${client} `;
  run(`ip ${inside}link add npb${net} type veth peer name npb${net}s netns ${server}`);
  run(`ip ${inside}addr add 10.244.${net}.1/30 dev npb${net}`);
  run(`ip ${inside}link set npb${net} up`);
  run(`ip -n ${server} addr add 10.244.${net}.2/30 dev npb${net}s`);
  run(`ip -n ${server} link set npb${net}s up`);
}

/** The least that tracks, and the least that translates; `service` is what the second one's clients dial. */
const TRACKED = "table ip floor { chain o { type filter hook output priority 0; ct state new accept; }; }";
const translated = (service: string, endpoint: string): string =>
  `table ip floor { chain o { type nat hook output priority -100; ip daddr ${service} tcp dport 80 dnat to ${endpoint}:${PORT}; }; }`;

export const bench: Bench = async (options) => {
  const dir = mkdtempSync(join(tmpdir(), "nodeplane-bench-"));
  const tool = join(dir, "connect");
  run(`g++ -O2 -o ${tool} ${join(import.meta.dirname, "connect.cpp")}`);
  const server = `npb${process.pid}`;
  const plain = `${server}d`;
  const tracked = `${server}t`;
  const translating = `${server}n`;
  const clients = [plain, tracked, translating];
  for (const name of [server, ...clients]) run(`ip netns add ${name}`);
  const child = spawn("ip", ["netns", "exec", server, tool, "server", String(PORT)], { stdio: "ignore" });
  try {
    cable("", server, 255);
    for (const [i, name] of clients.entries()) {
      const net = 254 - i;
      cable(name, server, net);
      run(`ip -n ${name} route add 11.0.0.0/8 via 10.244.${net}.2`);
      run(`ip -n ${name} route add 10.96.0.0/12 via 10.244.${net}.2`);
    }
    run(`ip -n ${server} link set lo up`);
    run(`ip -n ${server} route add local 11.0.0.0/8 dev lo`);
    run("ip route add 11.0.0.0/8 via 10.244.255.2");
    run("ip route add 10.96.0.0/12 via 10.244.255.2");
    await sleep(300);
    const measure = (host: string, port: number, inside = ""): number =>
      (JSON.parse(run(`${inside}${tool} client ${host} ${port} ${CONNECTIONS}`)) as { p50: number }).p50;
    const last = options.services - 1;
    const endpoint = address(0x0b000001, last * (options.endpoints + 2) + 1);
    const service = address(0x0a600001, last);
    const core = new AgentCore(join(dir, "state"));
    await core.store.load();
    await core.take([welcome(), ...snapshotMessages(options.services, options.endpoints, "cluster-ip")]);
    await core.live();
    const within = (name: string): string => `ip netns exec ${name} `;
    for (const [name, rules] of [
      [tracked, TRACKED],
      [translating, translated(service, endpoint)],
    ] as const) {
      execFileSync("ip", ["netns", "exec", name, "nft", "-f", "-"], { input: rules });
    }
    measure(endpoint, PORT, within(plain));
    const rounds = Array.from({ length: ROUNDS }, () => ({
      direct: measure(endpoint, PORT, within(plain)),
      tracked: measure(endpoint, PORT, within(tracked)),
      translated: measure(service, 80, within(translating)),
      through: measure(service, 80),
      passing: measure(endpoint, PORT),
    }));
    await core.stop();
    run("nft flush ruleset");
    const middle = (pick: (round: (typeof rounds)[number]) => number) => percentile(rounds.map(pick), 0.5);
    return [
      { figure: "connect_direct_p50", value: middle((r) => r.direct), unit: "us" },
      { figure: "connect_p50", value: middle((r) => r.through), unit: "us" },
      { figure: "connect_added", value: middle((r) => r.through - r.direct), unit: "us" },
      { figure: "connect_floor_conntrack", value: middle((r) => r.tracked - r.direct), unit: "us" },
      { figure: "connect_floor_one_dnat", value: middle((r) => r.translated - r.direct), unit: "us" },
      { figure: "connect_added_passing_by", value: middle((r) => r.passing - r.direct), unit: "us" },
    ];
  } finally {
    child.kill("SIGKILL");
    // The pair goes with the namespaces, a moment later: wait for it, the next size makes another.
    for (const name of [server, ...clients]) run(`ip netns del ${name}`);
    await until(() => !run("ip -o link").includes("npb255"));
    rmSync(dir, { recursive: true });
  }
};
