/**
 * The agent as a program, in a network namespace, fed by files: services answer, restarts change nothing, foreign
 * deletions are mended, clean-up removes what is ours alone.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { AgentWorld, eventually, exitOf, NODEPLANE, serviceManifest, sliceManifest } from "./agent-world.ts";

const NFTABLES = join(import.meta.dirname, "../../src/drivers/nftables/index.ts");
const world = new AgentWorld("ag", ["--oom-score-adj=7"]);

function endpoints(...addresses: readonly string[]): void {
  world.write("slice", sliceManifest("web", addresses));
}

/** Generation id of the ruleset, which every commit by anybody raises. */
function generation(): string {
  const script = `
    import { LinuxNft } from ${JSON.stringify(NFTABLES)};
    const nft = new LinuxNft({ family: "ip", name: "nodeplane" });
    console.log(nft.generation());
    nft.close();`;
  return world.run(process.execPath, "--input-type=module", "-e", script).trim();
}

function answer(): string {
  return world.get("http://10.96.0.80/");
}

before(async () => {
  world.connect();
  world.write("service", serviceManifest("web", "10.96.0.80"));
  endpoints("10.244.1.2");
  await world.start();
});

after(() => world.close());

test("a service answers, and changed files are programmed", async () => {
  await eventually("the first pod answers", () => answer() === "pod1");
  endpoints("10.244.2.2");
  await eventually("the second pod answers", () => answer() === "pod2");
  endpoints();
  // Status 7 of curl: refused at once; 28 would be a silent drop.
  const refused = () => world.run("sh", "-c", "curl -s --max-time 2 http://10.96.0.80/ || echo $?").trim();
  await eventually("it is refused", () => refused() === "7");
  endpoints("10.244.1.2");
  await eventually("the first pod answers again", () => answer() === "pod1");
});

test("health, metrics and status say what is programmed", () => {
  const verbose = world.get("http://127.0.0.1:10256/readyz?verbose");
  assert.match(verbose, /^\[\+\]synced ok: revision (\d+)\n\[\+\]programmed ok: revision \1\n/);
  assert.equal(world.get("http://127.0.0.1:10249/proxyMode"), "nftables");
  const metrics = world.metrics();
  const revision = /^nodeplane_programmed_revision (\d+)$/m.exec(metrics)?.[1];
  assert.ok(verbose.includes(`programmed ok: revision ${revision}`));
  assert.match(metrics, /^kubeproxy_sync_proxy_rules_duration_seconds_count\{ip_family="IPv4"\} [1-9]/m);
  assert.match(metrics, /^kubeproxy_network_programming_duration_seconds_count\{ip_family="IPv4"\} [1-9]/m);
  const status = JSON.parse(world.run(NODEPLANE, "status", "-o", "json", "--socket", world.socket)) as {
    ready: boolean;
    node: { addresses: readonly string[] };
    programmed: { services: number };
  };
  assert.equal(status.ready, true);
  assert.deepEqual(status.node.addresses, ["10.244.1.1"]);
  assert.equal(status.programmed.services, 1);
  assert.equal(world.run("cat", "/proc/sys/net/ipv4/ip_forward").trim(), "1");
  // `ip netns exec` and bin/nodeplane both replace themselves, so the child is the agent.
  assert.equal(readFileSync(`/proc/${world.pid}/oom_score_adj`, "utf8").trim(), "7");
});

test("a killed agent changes nothing, and its successor writes nothing", async () => {
  const before = generation();
  await world.stop("SIGKILL");
  assert.equal(answer(), "pod1");
  await world.start();
  // Until the first look at the preconditions is over.
  await delay(3500);
  assert.equal(generation(), before);
  assert.equal(answer(), "pod1");
});

test("a second agent on one node is refused: they would undo each other's rules", () => {
  const args = [
    "agent",
    "--objects",
    world.objects,
    "--proxy-mode=iptables",
    "--status-socket",
    world.socket,
  ];
  assert.throws(
    () => world.run(NODEPLANE, ...args, "--state-dir", join(world.folder, "second")),
    /the agent of node n1 has been running on this node since/,
  );
  assert.equal(answer(), "pod1");
});

test("a table deleted by somebody else is written again", async () => {
  world.run("nft", "delete", "table", "ip", "nodeplane");
  await eventually("the service answers again", () => answer() === "pod1");
  assert.match(world.metrics(), /^nodeplane_repairs_total\{ip_family="IPv4"\} [1-9]/m);
});

test("a node address that comes later is known", async () => {
  world.namespaces.batch(["addr add 192.0.2.9/32 dev v1"], "node");
  const status = () => world.run(NODEPLANE, "status", "--socket", world.socket);
  assert.match(status(), /10\.244\.1\.1/);
  world.namespaces.batch(["addr del 10.244.1.1/24 dev v1"], "node");
  await eventually("the other address is the node's", () => status().includes("n1  192.0.2.9"));
  world.namespaces.batch(
    ["addr add 10.244.1.1/24 dev v1", "addr del 192.0.2.9/32 dev v1", "route replace default dev v1"],
    "node",
  );
  await eventually("the old one is back", () => status().includes("n1  10.244.1.1"));
});

test("SIGTERM ends the agent with 0 and leaves the rules; clean-up removes them and nothing else", async () => {
  world.run("nft", "add table ip foreign; add chain ip foreign c { type filter hook input priority 0; }");
  await world.stop();
  assert.equal(answer(), "pod1");
  const output = world.cleanup();
  assert.match(output, /table ip nodeplane removed\nnftables: table ip6 nodeplane removed/);
  assert.match(output, /net\.ipv4\.ip_forward = 1 +echo 0 > \/proc\/sys\/net\/ipv4\/ip_forward/);
  assert.equal(world.run("nft", "list", "tables").trim(), "table ip foreign");
});

test("what can never work ends with 2 and one line, and nothing is changed", async () => {
  const rows: readonly [readonly string[], RegExp][] = [
    [["--objects", join(world.folder, "nothing")], /cannot read: .*nothing: ENOENT/],
    [
      ["--objects", world.objects, "--proxy-mode=ipvs", "--ipvs-scheduler=nosuch"],
      /does not support ipvs mode: needs the /,
    ],
    [["--config", join(world.folder, "nothing.yaml")], /cannot read: .*nothing\.yaml: ENOENT/],
  ];
  for (const [args, want] of rows) {
    const options = ["agent", ...args, "--status-socket", world.socket];
    const child = world.namespaces.spawn("node", NODEPLANE, options, { stdio: ["ignore", "ignore", "pipe"] });
    let stderr = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    assert.equal(await exitOf(child), 2, stderr);
    assert.match(stderr.trim().split("\n").at(-1) ?? "", want);
  }
  assert.equal(world.run("nft", "list", "tables").trim(), "table ip foreign");
});
