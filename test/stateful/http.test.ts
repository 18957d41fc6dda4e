/**
 * The http cases of packet-cases.yaml, by their ids: what the agent answers on its health address and on
 * healthCheckNodePorts. NODEPLANE_TEST_MODE and NODEPLANE_TEST_VARIANT choose the mode.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, beforeEach, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { FixtureService } from "../packet-cases/case-file.ts";
import { eventually, modeUnderTest, Scene, variantUnderTest, withEndpoints } from "../packet-cases/scene.ts";
import { STRETCH } from "../support/patience.ts";

const SYNC_PERIOD_MS = 1_000 * STRETCH;
const TAINT = "ToBeDeletedByClusterAutoscaler";
/** An agent that was kept from writing tries again after at most this; a command waits 5 s for its lock. */
const RECOVERS_MS = 30_000;

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** One request from the node itself; status 0 when nobody listens. */
async function request(scene: Scene, address: string): Promise<Answer> {
  const { status, body: text } = await scene.get("node", `http://${address}`);
  return { status, body: text.startsWith("{") ? (JSON.parse(text) as Answer["body"]) : {} };
}

suite("http: health of services and agent", () => {
  let scene: Scene;
  let service: FixtureService;
  const mode = modeUnderTest();

  before(async () => {
    scene = new Scene(["etp_local"], { [mode]: { syncPeriod: `${SYNC_PERIOD_MS}ms` } });
    service = scene.fixture("etp_local");
    await scene.startAgent();
  });
  beforeEach(() => scene.apply([service]));
  after(() => scene.close());

  const settles = (address: string, status: number, withinMs = 20_000) =>
    eventually(`${address} answers ${status}`, withinMs, async () => {
      const answer = await request(scene, address);
      return answer.status === status ? answer : undefined;
    });

  test("hc-local-ready", async () => {
    const { body } = await settles("192.168.0.2:30000/any/path", 200);
    assert.equal(body["localEndpoints"], 1);
    assert.equal(body["serviceProxyHealthy"], true);
    assert.deepEqual(body["service"], { namespace: service.namespace, name: service.name });
  });

  test("hc-only-terminating", async () => {
    const ending = service.endpoints.map((e) => (e.local ? { ...e, ready: false, terminating: true } : e));
    const own = ending.filter((e) => e.local);
    await scene.listen(own, "TCP", 80);
    await scene.apply([withEndpoints(service, ending)]);
    const { body } = await settles("192.168.0.2:30000", 503);
    assert.equal(body["localEndpoints"], 0);
    const { backends, others } = await scene.connect("ext", "192.168.0.2", 3001, 10);
    assert.deepEqual([backends, others], [[`${own[0]?.addr}:80`], []]);
  });

  test("hc-agent-nodedeleting, healthz-taint", async () => {
    for (const node of [{ taints: [TAINT] }, { isDeleting: true }]) {
      await scene.apply([service], node);
      const { body } = await settles("127.0.0.1:10256/healthz", 503);
      assert.equal(body["nodeEligible"], false);
      assert.equal((await request(scene, "192.168.0.2:30000")).status, 200);
      assert.equal((await request(scene, "127.0.0.1:10256/livez")).status, 200);
      await scene.apply([service]);
      await settles("127.0.0.1:10256/healthz", 200);
    }
  });

  test("hc-port-change", async () => {
    await scene.apply([{ ...service, spec: { ...service.spec, healthCheckNodePort: 30_001 } }]);
    await settles("192.168.0.2:30001", 200);
    await settles("192.168.0.2:30000", 0);
  });

  test("hc-bind", async () => {
    const isBound = modeUnderTest() === "nftables";
    await settles("192.168.0.2:30000", 200);
    // nodePortAddresses names 192.168.0.2 in nftables mode and nothing in the others.
    assert.equal((await request(scene, "127.0.0.1:30000")).status, isBound ? 0 : 200);
    assert.equal((await request(scene, "192.168.1.2:30000")).status, isBound ? 0 : 200);
  });

  test("hc-agent-stale, healthz-stale, livez-stale", async () => {
    const release = await hold(scene);
    scene.agent.write([
      withEndpoints(
        service,
        service.endpoints.filter((e) => e.local),
      ),
    ]);
    await eventually("unhealthy", 4 * SYNC_PERIOD_MS + 20_000, async () => {
      const { status, body } = await request(scene, "192.168.0.2:30000");
      return status === 503 && body["serviceProxyHealthy"] === false && body["localEndpoints"] === 1;
    });
    assert.equal((await request(scene, "127.0.0.1:10256/healthz")).status, 503);
    assert.equal((await request(scene, "127.0.0.1:10256/livez")).status, 503);
    release();
    await settles("127.0.0.1:10256/healthz", 200, RECOVERS_MS);
    await settles("192.168.0.2:30000", 200);
  });
});

suite("http: before the first sync", () => {
  test("healthz-starting", async () => {
    const scene = new Scene(["etp_local"]);
    try {
      await hold(scene);
      await scene.startAgent({ wait: false, services: [scene.fixture("etp_local")] });
      await eventually(
        "an answer",
        30_000,
        async () => (await request(scene, "127.0.0.1:10256/livez")).status > 0,
      );
      await sleep(500);
      assert.equal((await request(scene, "127.0.0.1:10256/readyz")).status, 503, "nothing is programmed yet");
      assert.equal((await request(scene, "127.0.0.1:10256/healthz")).status, 200);
    } finally {
      await scene.close();
    }
  });
});

/**
 * Keeps the agent from writing until the function returned is called: iptables-legacy waits for a lock that is held; in the
 * other modes the table to write to belongs to another process.
 */
async function hold(scene: Scene): Promise<() => void> {
  if (scene.mode === "iptables" && variantUnderTest() === "legacy") return holdLock(scene);
  const table = { iptables: "nat", nftables: "nodeplane", ipvs: "nodeplane-ipvs" }[scene.mode];
  const holder = scene.network.namespaces.spawn("node", "nft", ["-i"], {
    stdio: ["pipe", "ignore", "inherit"],
  });
  // One line is one transaction: the agent has no moment to write the table again.
  holder.stdin?.write(
    `add table ip ${table}; delete table ip ${table}; add table ip ${table} { flags owner; }\n`,
  );
  await eventually("the table is held", 15_000, () => {
    const ruleset = scene.network.namespaces.run("node", "nft", "list", "ruleset");
    return ruleset.includes("flags owner") && holder.exitCode === null;
  });
  return () => holder.kill("SIGKILL");
}

async function holdLock(scene: Scene): Promise<() => void> {
  const script = "echo held; exec sleep 600";
  const holder = scene.network.namespaces.spawn("node", "flock", ["-F", scene.lockFile, "sh", "-c", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  assert.ok(holder.stdout !== null);
  await once(holder.stdout, "data");
  return () => holder.kill("SIGKILL");
}
