/** The daemon on fakes: what it reports, when it says ready, what its endpoints answer. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import pino from "pino";
import { Agent } from "../../../src/agent/agent.ts";
import { agentSettings } from "../../../src/agent/config/agent-settings.ts";
import { FieldValues } from "../../../src/agent/config/field.ts";
import { parseFlags } from "../../../src/agent/config/flags.ts";
import type { Host, HostAddresses } from "../../../src/agent/host/host.ts";
import { FakeConntrack } from "../../../src/drivers/conntrack/index.ts";
import { FakeNft, FakeNftKernel } from "../../../src/drivers/nftables/index.ts";
import { FakeSysctl } from "../../../src/drivers/sysctl/index.ts";
import type { Feed, FeedListener, NodeReport, NodeReporter } from "../../../src/feed/feed.ts";
import { meta, service } from "../../support/objects.ts";
import { mustIp } from "../../support/packet-cases.ts";
import { FakeClock } from "./fake-clock.ts";

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "nodeplane-unit-"));
  folders.push(folder);
  return folder;
}

class FakeHost implements Host {
  readonly #kernel = new FakeNftKernel();
  readonly nft = {
    ip: new FakeNft({ family: "ip", name: "nodeplane" }, this.#kernel),
    ip6: new FakeNft({ family: "ip6", name: "nodeplane" }, this.#kernel),
  };
  readonly sysctl = new FakeSysctl({ "net/ipv4/ip_forward": "0" });
  readonly conntrack = new FakeConntrack();
  readonly watchdogMs = undefined;
  readonly notified: string[] = [];
  now: HostAddresses = { all: ["127.0.0.1", "192.0.2.1"].map(mustIp), primary: [mustIp("192.0.2.1")] };
  #onChange: () => void = () => undefined;

  addresses(): HostAddresses {
    return this.now;
  }
  interfaces(): readonly string[] {
    return ["lo"];
  }
  watchAddresses(onChange: () => void): void {
    this.#onChange = onChange;
  }
  notify(...lines: readonly string[]): void {
    this.notified.push(...lines);
  }
  close(): void {}

  move(address: string): void {
    this.now = { all: [mustIp(address)], primary: [mustIp(address)] };
    this.#onChange();
  }
}

class FakeFeed implements Feed, NodeReporter {
  listener: FeedListener | undefined;
  synced = false;
  heartbeats = 0;
  readonly reports: NodeReport[] = [];
  readonly acknowledged: bigint[] = [];

  async run(listener: FeedListener, signal: AbortSignal): Promise<void> {
    this.listener = listener;
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  }
  acknowledge({ revision }: { readonly revision: bigint }): void {
    this.acknowledged.push(revision);
  }
  ageSeconds(): number {
    return 0;
  }
  report(report: NodeReport): void {
    this.reports.push(report);
  }
  heartbeat(): void {
    this.heartbeats++;
  }
  send(revision: bigint, ...objects: Parameters<FeedListener["upsert"]>[0][]): void {
    const batch = { revision, snapshot: revision === 1n, origin: "live", changedAtMs: 0 } as const;
    this.listener?.begin(batch);
    for (const object of objects) this.listener?.upsert(object);
    this.synced = true;
    this.listener?.commit(batch);
  }
}

function start(manifests: string) {
  const values = new FieldValues();
  const folder = temporary();
  parseFlags([
    ...[
      "--control-plane=c:1",
      "--node-name=n1",
      "--zone=z1",
      "--healthz-bind-address=",
      "--metrics-bind-address=",
    ],
    ...[`--state-dir=${folder}`, `--manifest-dir=${manifests}`, `--status-socket=`, "--heartbeat-period=1s"],
  ]).apply(values);
  const [host, feed, clock, abort] = [new FakeHost(), new FakeFeed(), new FakeClock(), new AbortController()];
  const source = { feed, reporter: feed, problems: () => [], counters: () => ({}), description: "a test" };
  const log = pino({ level: "silent" });
  const agent = new Agent({
    settings: agentSettings(values, "h"),
    configuration: {},
    host,
    source,
    clock,
    log,
  });
  return { host, feed, clock, agent, abort, done: agent.run(abort.signal) };
}

function readyOf(report: NodeReport | undefined): unknown {
  const status = report?.node["status"] as { conditions: { status: string; reason: string }[] } | undefined;
  return status?.conditions[0]?.status;
}

/** Files are really read: that takes as long as it takes, whatever the clock says. */
async function until(clock: FakeClock, stepMs: number, done: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !done(); i++) {
    await delay(10);
    await clock.advance(stepMs);
  }
}

async function started(manifests: string) {
  const rig = start(manifests);
  await until(rig.clock, 50, () => rig.feed.reports.length > 0);
  return rig;
}

test("an agent reports itself not ready, then ready when rules are in the kernel", async () => {
  const { host, feed, clock, agent, abort, done } = await started(temporary());
  assert.equal(readyOf(feed.reports.at(-1)), "False");
  assert.equal(agent.status().ready, false);
  assert.ok(!host.notified.includes("READY=1"));
  feed.send(1n, service("a"));
  await until(clock, 0, () => agent.status().ready);
  await clock.advance(100);
  assert.equal(agent.status().ready, true);
  assert.deepEqual(feed.acknowledged, [1n]);
  assert.equal(host.notified[0], "READY=1");
  assert.equal(readyOf(feed.reports.at(-1)), "True");
  const metadata = feed.reports.at(-1)?.node["metadata"] as { labels: Record<string, string> };
  assert.equal(metadata.labels["topology.kubernetes.io/zone"], "z1");
  assert.equal(metadata.labels["kubernetes.io/hostname"], "n1");
  const before = feed.reports.length;
  const beats = feed.heartbeats;
  await clock.advance(3000);
  assert.equal(feed.heartbeats, beats + 3);
  assert.equal(feed.reports.length, before, "nothing new, nothing reported");
  assert.equal(host.sysctl.values.get("net/ipv4/ip_forward"), "1");
  abort.abort();
  await done;
  assert.equal(host.notified.at(-1), "STOPPING=1");
  assert.ok(host.nft.ip.read() !== undefined, "the rules stay");
});

test("a restarted agent does not report a readiness that it only has not reached yet", async () => {
  const { feed, clock, abort, done } = start(temporary());
  await until(clock, 10, () => feed.listener !== undefined);
  await clock.advance(3000);
  assert.deepEqual(feed.reports, []);
  assert.ok(feed.heartbeats >= 3, "the lease is renewed meanwhile");
  feed.send(1n, service("a"));
  await until(clock, 10, () => feed.reports.length > 0);
  assert.equal(readyOf(feed.reports[0]), "True");
  abort.abort();
  await done;
});

test("an address of the node that changes is reported and planned with", async () => {
  const { host, feed, clock, agent, abort, done } = await started(temporary());
  feed.send(1n, {
    kind: "Node",
    meta: meta("", "n1"),
    internalIPs: [mustIp("192.0.2.1")],
    podCIDRs: [],
    taintKeys: [],
  });
  await clock.advance(100);
  host.move("192.0.2.9");
  await clock.advance(100);
  const status = feed.reports.at(-1)?.node["status"] as { addresses: { type: string; address: string }[] };
  assert.equal(status.addresses[0]?.address, "192.0.2.9");
  assert.deepEqual(agent.status().node.addresses, ["192.0.2.9"]);
  abort.abort();
  await done;
});

test("workloads are mirror Pods; a wrong manifest stops only itself; a removed one is gone", async () => {
  const manifests = temporary();
  const pod = (name: string, extra = "") =>
    `apiVersion: v1\nkind: Pod\nmetadata: {name: ${name}, labels: {app: ${name}}}\nspec: {hostNetwork: true, containers: [{name: c${extra}}]}\n`;
  writeFileSync(join(manifests, "a.yaml"), pod("a"));
  writeFileSync(join(manifests, "b.yaml"), pod("b", ", prots: []"));
  writeFileSync(join(manifests, "c.yaml"), `${pod("c")}---\n${pod("a")}`);
  const { feed, clock, agent, abort, done } = await started(manifests);
  const names = () => feed.reports.at(-1)?.pods.map((found) => (found["metadata"] as { name: string }).name);
  assert.deepEqual(names(), ["a", "c"]);
  const [first] = feed.reports.at(-1)?.pods ?? [];
  const metadata = first?.["metadata"] as {
    annotations: Record<string, string>;
    labels: Record<string, string>;
  };
  assert.equal(metadata.labels["app"], "a");
  assert.equal(metadata.annotations["kubernetes.io/config.mirror"]?.length, 32);
  const status = first?.["status"] as Record<string, unknown>;
  assert.equal(status["podIP"], "192.0.2.1");
  assert.equal(
    (status["conditions"] as { type: string; status: string }[]).find(({ type }) => type === "Ready")?.status,
    "True",
  );
  const { refusedManifests } = agent.status();
  assert.match(refusedManifests[0] ?? "", /b\.yaml: spec\.containers\[0\]\.prots: unknown field/);
  assert.match(
    refusedManifests[1] ?? "",
    /c\.yaml: metadata\.name: the Pod default\/a is already in .*a\.yaml/,
  );
  rmSync(join(manifests, "a.yaml"));
  writeFileSync(join(manifests, "c.yaml"), "{");
  await until(clock, 5000, () => names()?.join() === "c,a");
  assert.deepEqual(names(), ["c", "a"], "a broken edit keeps what was good");
  rmSync(join(manifests, "c.yaml"));
  await until(clock, 5000, () => names()?.length === 0);
  assert.deepEqual(names(), []);
  abort.abort();
  await done;
});
