/**
 * The agent as a program, in a network namespace, fed by files: services answer, restarts change nothing, foreign
 * deletions are mended, clean-up removes what is ours alone.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Namespaces } from "./netns.ts";

const REPOSITORY = join(import.meta.dirname, "../..");
const NODEPLANE = join(REPOSITORY, "bin/nodeplane");
const folder = mkdtempSync(join(tmpdir(), "nodeplane-agent-"));
const objects = join(folder, "objects");
const socket = join(folder, "agent.sock");
const namespaces = new Namespaces("ag");

const SERVICE = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "default" },
  spec: { clusterIP: "10.96.0.80", ports: [{ name: "http", port: 80 }] },
};

function slice(addresses: readonly string[]) {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "web-1", namespace: "default", labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  };
}

function write(name: string, object: unknown): void {
  writeFileSync(join(objects, name), JSON.stringify(object));
}

function startAgent(): ChildProcess {
  return namespaces.spawn(
    "node",
    NODEPLANE,
    [
      "agent",
      "--objects",
      objects,
      "--node-name",
      "n1",
      "--oom-score-adj=7",
      "--status-socket",
      socket,
      "--state-dir",
      join(folder, "state"),
      "--manifest-dir",
      join(folder, "manifests"),
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
}

/** Waits until a command in the node's namespace says what is wanted. */
async function until(what: string, done: () => boolean): Promise<void> {
  const endMs = Date.now() + 15_000;
  for (;;) {
    try {
      if (done()) return;
    } catch {
      // Not yet.
    }
    if (Date.now() > endMs) throw new Error(`timed out: ${what}`);
    await delay(50);
  }
}

function get(url: string, ...options: string[]): string {
  return namespaces.run("node", "curl", "-sS", "--max-time", "2", ...options, url);
}

async function ready(): Promise<void> {
  await until("ready", () => get("http://127.0.0.1:10256/readyz").startsWith("ok"));
}

async function ended(agent: ChildProcess): Promise<number | null> {
  if (agent.exitCode === null && agent.signalCode === null) {
    await new Promise((resolve) => agent.once("exit", resolve));
  }
  return agent.exitCode;
}

/** Generation id of the ruleset, which every commit by anybody raises. */
function generation(): string {
  const script = `
    import { LinuxNft } from ${JSON.stringify(join(REPOSITORY, "src/drivers/nftables/index.ts"))};
    const nft = new LinuxNft({ family: "ip", name: "nodeplane" });
    console.log(nft.generation());
    nft.close();`;
  return namespaces.run("node", process.execPath, "--input-type=module", "-e", script).trim();
}

function answer(): string {
  return get("http://10.96.0.80/");
}

let agent: ChildProcess;

before(async () => {
  mkdirSync(objects);
  namespaces.add("node", "pod1", "pod2");
  for (const index of [1, 2]) {
    const pod = `pod${index}`;
    namespaces.batch([
      `link add v${index} netns ${namespaces.name("node")} type veth peer name eth0 netns ${namespaces.name(pod)}`,
    ]);
    namespaces.batch([`addr add 10.244.${index}.1/24 dev v${index}`, `link set v${index} up`], "node");
    namespaces.batch(
      [
        `addr add 10.244.${index}.2/24 dev eth0`,
        "link set eth0 up",
        `route add default via 10.244.${index}.1`,
      ],
      pod,
    );
    const server = `require("node:http").createServer((q, r) => r.end(${JSON.stringify(pod)})).listen(8080)`;
    namespaces.spawn(pod, process.execPath, ["-e", server], { stdio: "ignore" });
  }
  namespaces.batch(["route add default dev v1"], "node");
  write("service.json", SERVICE);
  write("slice.json", slice(["10.244.1.2"]));
  agent = startAgent();
  await ready();
});

after(() => {
  namespaces.close();
  rmSync(folder, { recursive: true, force: true });
});

test("a service answers, and changed files are programmed", async () => {
  await until("the first pod answers", () => answer() === "pod1");
  write("slice.json", slice(["10.244.2.2"]));
  await until("the second pod answers", () => answer() === "pod2");
  write("slice.json", slice([]));
  // Status 7 of curl: refused at once; 28 would be a silent drop.
  const refused = () =>
    namespaces.run("node", "sh", "-c", "curl -s --max-time 2 http://10.96.0.80/ || echo $?").trim();
  await until("it is refused", () => refused() === "7");
  write("slice.json", slice(["10.244.1.2"]));
  await until("the first pod answers again", () => answer() === "pod1");
});

test("health, metrics and status say what is programmed", () => {
  const verbose = get("http://127.0.0.1:10256/readyz?verbose");
  assert.match(verbose, /^\[\+\]synced ok: revision (\d+)\n\[\+\]programmed ok: revision \1\n/);
  assert.equal(get("http://127.0.0.1:10249/proxyMode"), "nftables");
  const metrics = get("http://127.0.0.1:10249/metrics");
  const revision = /^nodeplane_programmed_revision (\d+)$/m.exec(metrics)?.[1];
  assert.ok(verbose.includes(`programmed ok: revision ${revision}`));
  assert.match(metrics, /^kubeproxy_sync_proxy_rules_duration_seconds_count\{ip_family="IPv4"\} [1-9]/m);
  assert.match(metrics, /^kubeproxy_network_programming_duration_seconds_count\{ip_family="IPv4"\} [1-9]/m);
  const status = JSON.parse(
    namespaces.run("node", NODEPLANE, "status", "-o", "json", "--socket", socket),
  ) as {
    ready: boolean;
    node: { addresses: readonly string[] };
    programmed: { services: number };
  };
  assert.equal(status.ready, true);
  assert.deepEqual(status.node.addresses, ["10.244.1.1"]);
  assert.equal(status.programmed.services, 1);
  assert.equal(namespaces.run("node", "cat", "/proc/sys/net/ipv4/ip_forward").trim(), "1");
  // `ip netns exec` and bin/nodeplane both replace themselves, so the child is the agent.
  assert.equal(readFileSync(`/proc/${agent.pid}/oom_score_adj`, "utf8").trim(), "7");
});

test("a killed agent changes nothing, and its successor writes nothing", async () => {
  const before = generation();
  agent.kill("SIGKILL");
  await ended(agent);
  assert.equal(answer(), "pod1");
  agent = startAgent();
  await ready();
  // Until the first look at the preconditions is over.
  await delay(3500);
  assert.equal(generation(), before);
  assert.equal(answer(), "pod1");
});

test("a table deleted by somebody else is written again", async () => {
  namespaces.run("node", "nft", "delete", "table", "ip", "nodeplane");
  await until("the service answers again", () => answer() === "pod1");
  assert.match(get("http://127.0.0.1:10249/metrics"), /^nodeplane_repairs_total\{ip_family="IPv4"\} [1-9]/m);
});

test("a node address that comes later is known", async () => {
  namespaces.batch(["addr add 192.0.2.9/32 dev v1"], "node");
  const status = () => namespaces.run("node", NODEPLANE, "status", "--socket", socket);
  assert.match(status(), /10\.244\.1\.1/);
  namespaces.batch(["addr del 10.244.1.1/24 dev v1"], "node");
  await until("the other address is the node's", () => status().includes("n1  192.0.2.9"));
  namespaces.batch(
    ["addr add 10.244.1.1/24 dev v1", "addr del 192.0.2.9/32 dev v1", "route replace default dev v1"],
    "node",
  );
  await until("the old one is back", () => status().includes("n1  10.244.1.1"));
});

test("SIGTERM ends the agent with 0 and leaves the rules; clean-up removes them and nothing else", async () => {
  namespaces.run(
    "node",
    "nft",
    "add table ip foreign; add chain ip foreign c { type filter hook input priority 0; }",
  );
  agent.kill("SIGTERM");
  assert.equal(await ended(agent), 0);
  assert.equal(answer(), "pod1");
  const output = namespaces.run(
    "node",
    NODEPLANE,
    "cleanup",
    "--socket",
    socket,
    "--state-dir",
    join(folder, "state"),
  );
  assert.match(output, /table ip nodeplane removed\nnftables: table ip6 nodeplane removed/);
  assert.match(output, /net\.ipv4\.ip_forward = 1 +echo 0 > \/proc\/sys\/net\/ipv4\/ip_forward/);
  assert.equal(namespaces.run("node", "nft", "list", "tables").trim(), "table ip foreign");
});

test("what can never work ends with 2 and one line, and nothing is changed", async () => {
  const rows: readonly [readonly string[], RegExp][] = [
    [["--objects", join(folder, "nothing")], /cannot read: .*nothing: ENOENT/],
    [
      ["--objects", objects, "--proxy-mode=ipvs", "--ipvs-scheduler=nosuch"],
      /does not support ipvs mode: needs the /,
    ],
    [["--config", join(folder, "nothing.yaml")], /cannot read: .*nothing\.yaml: ENOENT/],
  ];
  for (const [args, want] of rows) {
    const child = spawn(
      "ip",
      ["netns", "exec", namespaces.name("node"), NODEPLANE, "agent", ...args, "--status-socket", socket],
      {
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    assert.equal(await ended(child), 2, stderr);
    assert.match(stderr.trim().split("\n").at(-1) ?? "", want);
  }
  assert.equal(namespaces.run("node", "nft", "list", "tables").trim(), "table ip foreign");
});
