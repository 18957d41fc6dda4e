/** What the reconcilers of nftables and ipvs mode say of connections: when it asks the kernel, and what it makes of the answer. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { IpvsReconciler } from "../../../src/agent/reconcile/ipvs/ipvs-reconciler.ts";
import { ServiceConnectionReader } from "../../../src/agent/reconcile/service-connections.ts";
import { FakeIpvs } from "../../../src/drivers/ipvs/index.ts";
import { FakeNft, FakeNftKernel } from "../../../src/drivers/nftables/index.ts";
import { FakeDummy } from "../../../src/drivers/rtnetlink/index.ts";
import { ipvsServiceKey } from "../../../src/model/ipvs.ts";
import type { NftSet } from "../../../src/model/nftables.ts";
import type { FeedObject } from "../../../src/model/objects.ts";
import { DUMMY_DEVICE, ipvsTableOf } from "../../../src/plan/ipvs/names.ts";
import { nodeConfig, service, slice } from "../../support/objects.ts";
import { mustIp } from "../../support/packet-cases.ts";
import { TestClock, World } from "../../support/reconcile.ts";

const NO_TIMEOUTS = { tcpSeconds: 0, tcpFinSeconds: 0, udpSeconds: 0 };
const COUNTING = nodeConfig({ countConnections: true });
const PORTS = [{ name: "http", protocol: "TCP", port: 80, nodePort: 0 }] as const;
const OBJECTS = [
  service("ns/web", { clusterIPs: ["10.96.0.1", "fd00:10:96::1"], ports: PORTS }),
  slice("ns/web", ["10.244.0.1"], { ports: [{ name: "http", protocol: "TCP", port: 8080 }] }),
  slice("ns/web", ["fd00:10:244::1"], {
    suffix: "6",
    ports: [{ name: "http", protocol: "TCP", port: 8080 }],
  }),
  service("ns/plain", { clusterIPs: ["10.96.0.2"] }),
  slice("ns/plain", ["10.244.0.2"]),
];

/** Counts its readings. */
class CountedNft extends FakeNft {
  readings = 0;
  override elementCounts(set: NftSet) {
    this.readings++;
    return super.elementCounts(set);
  }
}

async function counting(node = COUNTING) {
  const world = new World();
  const ip = new CountedNft({ family: "ip", name: "nodeplane" }, world.kernel);
  const ip6 = new CountedNft({ family: "ip6", name: "nodeplane" }, world.kernel);
  world.start({ node, drivers: { ip, ip6 } });
  await world.snapshot(OBJECTS);
  const totals = () =>
    world.reconciler
      .serviceConnections()
      .map(({ namespace, service: name, port, connections }) => `${namespace}/${name}:${port} ${connections}`)
      .sort();
  return { world, ip, ip6, totals };
}

suite("connections of services", () => {
  test("nothing unless asked for: no reading, and maps without counters", async () => {
    const { ip, totals } = await counting(nodeConfig());
    assert.deepEqual([totals(), ip.readings], [[], 0]);
    assert.equal(ip.read()?.sets.get("frontends")?.set.counter, undefined);
  });

  test("both families together; a port without a name by its number", async () => {
    const { ip, ip6, totals } = await counting();
    ip.found.set("frontends", [3, 40]);
    ip6.found.set("frontends", [5]);
    assert.deepEqual(totals(), ["ns/plain:80 40", "ns/web:http 8"]);
  });

  test("the kernel is asked every two seconds at most; a slow answer makes that seldom", () => {
    let ms = 0;
    let costMs = 1;
    let readings = 0;
    const read = () => {
      readings++;
      ms += costMs;
      return [];
    };
    const reader = new ServiceConnectionReader({ monotonicMs: () => ms }, read);
    const askedAt = (atMs: number): number => {
      ms = atMs;
      reader.latest();
      return readings;
    };
    assert.deepEqual([askedAt(0), askedAt(1_999), askedAt(2_002)], [1, 1, 2]);
    costMs = 1_000;
    assert.deepEqual([askedAt(10_000), askedAt(60_000), askedAt(61_001)], [3, 3, 4]);
  });

  test("a failed reading is told once; until the next try the last one stands", () => {
    let ms = 0;
    let isBroken = false;
    const reader = new ServiceConnectionReader({ monotonicMs: () => ms }, () => {
      if (isBroken) throw new Error("no socket");
      return [];
    });
    reader.latest();
    ms = 5_000;
    isBroken = true;
    assert.throws(() => reader.latest(), /no socket/);
    assert.deepEqual(reader.latest(), []);
  });

  test("totals stand while the table is gone", async () => {
    const { world, ip, totals } = await counting();
    ip.found.set("frontends", [3, 40]);
    assert.equal(totals().at(-1), "ns/web:http 3");
    world.clock.advance(10_000);
    ip.commit([{ op: "delete-table" }]);
    assert.equal(totals().at(-1), "ns/web:http 3");
  });

  test("ipvs mode: what the virtual servers of both families have counted; a service that goes is forgotten", async () => {
    const kernel = new FakeNftKernel();
    const ipvs = new FakeIpvs();
    const clock = new TestClock();
    const nft = { ip: new FakeNft(ipvsTableOf("ip"), kernel), ip6: new FakeNft(ipvsTableOf("ip6"), kernel) };
    const common = { nft, ipvs, clock, dummy: new FakeDummy(DUMMY_DEVICE), timeouts: NO_TIMEOUTS };
    const limits = { scheduler: "wrr", excludeCIDRs: [], drainLimitMs: 0, syncPeriodMs: 30_000 };
    const reconciler = new IpvsReconciler({ ...common, ...limits, node: COUNTING });
    const feed = async (revision: bigint, objects: readonly FeedObject[]) => {
      const batch = { revision, snapshot: true, origin: "live", changedAtMs: 0 } as const;
      reconciler.begin(batch);
      for (const object of objects) reconciler.upsert(object);
      reconciler.commit(batch);
      await reconciler.idle();
    };
    const totals = () => {
      clock.advance(3_000);
      return reconciler.serviceConnections().map((one) => `${one.service}:${one.port} ${one.connections}`);
    };
    await feed(1n, OBJECTS);
    for (const [key, count] of [
      [ipvsServiceKey({ family: "ip", protocol: 6, address: mustIp("10.96.0.1"), port: 80 }), 3],
      [ipvsServiceKey({ family: "ip6", protocol: 6, address: mustIp("fd00:10:96::1"), port: 80 }), 5],
      [ipvsServiceKey({ family: "ip", protocol: 6, address: mustIp("10.96.0.2"), port: 80 }), 40],
    ] as const)
      ipvs.connections.set(key, count);
    assert.deepEqual(totals().sort(), ["plain:80 40", "web:http 8"]);
    await feed(2n, OBJECTS.slice(0, 3));
    assert.deepEqual(totals(), ["web:http 8"]);
    reconciler.stop();
  });
});
