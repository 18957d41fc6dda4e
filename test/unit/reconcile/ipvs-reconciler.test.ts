/** The ipvs reconciler on fake kernels and a fake clock: histories, restart, draining, foreign changes, refusals. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  IpvsReconciler,
  type IpvsReconcilerOptions,
} from "../../../src/agent/reconcile/ipvs/ipvs-reconciler.ts";
import { FakeIpvs } from "../../../src/drivers/ipvs/index.ts";
import { FakeNft, FakeNftKernel } from "../../../src/drivers/nftables/index.ts";
import { FakeDummy } from "../../../src/drivers/rtnetlink/index.ts";
import type { IpvsServiceKey } from "../../../src/model/ipvs.ts";
import type { FeedObject, ObjectKey } from "../../../src/model/objects.ts";
import { formatKey, keyOf } from "../../../src/model/objects.ts";
import { DUMMY_DEVICE, ipvsTableOf } from "../../../src/plan/ipvs/names.ts";
import { formatDestination, packIp } from "../../../src/plan/packed.ts";
import { endpoint, nodeConfig, service, slice } from "../../support/objects.ts";
import { mustCidr, mustIp } from "../../support/packet-cases.ts";
import { type Step, stepArbitrary } from "../../support/random-history.ts";
import { normalise, TestClock } from "../../support/reconcile.ts";

const node = nodeConfig({ zone: "z1" });

class IpvsWorld {
  readonly kernel = new FakeNftKernel();
  readonly clock = new TestClock();
  readonly nft = {
    ip: new FakeNft(ipvsTableOf("ip"), this.kernel),
    ip6: new FakeNft(ipvsTableOf("ip6"), this.kernel),
  };
  readonly ipvs = new FakeIpvs();
  readonly dummy = new FakeDummy(DUMMY_DEVICE);
  readonly logged: string[] = [];
  readonly programmed: bigint[] = [];
  reconciler: IpvsReconciler;
  #revision = 0n;

  constructor(options: Partial<IpvsReconcilerOptions> = {}) {
    this.reconciler = this.start(options);
  }

  /** A new agent on the same kernel. */
  start(options: Partial<IpvsReconcilerOptions> = {}): IpvsReconciler {
    this.reconciler?.stop();
    this.reconciler = new IpvsReconciler({
      nft: this.nft,
      ipvs: this.ipvs,
      dummy: this.dummy,
      node,
      scheduler: "wrr",
      excludeCIDRs: [],
      timeouts: { tcpSeconds: 0, tcpFinSeconds: 0, udpSeconds: 0 },
      drainLimitMs: 3_600_000,
      syncPeriodMs: 30_000,
      clock: this.clock,
      log: (level, message) => void this.logged.push(`${level} ${message}`),
      onProgrammed: ({ revision }) => void this.programmed.push(revision),
      ...options,
    });
    return this.reconciler;
  }

  async feed(
    upserts: Iterable<FeedObject>,
    removes: readonly ObjectKey[] = [],
    snapshot = false,
  ): Promise<void> {
    const batch = { revision: ++this.#revision, snapshot, origin: "live", changedAtMs: 0 } as const;
    this.reconciler.begin(batch);
    for (const key of removes) this.reconciler.remove(key);
    for (const object of upserts) this.reconciler.upsert(object);
    this.reconciler.commit(batch);
    await this.reconciler.idle();
  }

  async advance(ms: number): Promise<void> {
    this.clock.advance(ms);
    for (let i = 0; i < 20; i++) await Promise.resolve();
    await this.reconciler.idle();
  }

  /** Virtual servers with destinations and weights, sorted; the order of destinations is history. */
  async servers(): Promise<readonly string[]> {
    return (await this.ipvs.read())
      .map(({ service: { protocol, address, port, scheduler, flags, timeoutSeconds }, destinations }) => {
        const to = destinations.map(({ address: at, port: on, weight }) => `${at}:${on}=${weight}`).sort();
        return `${protocol} ${address} ${port} ${scheduler} ${flags} ${timeoutSeconds}: ${to.join(" ")}`;
      })
      .sort();
  }

  async state(): Promise<unknown> {
    const sets = Object.values(this.nft).map((driver) => {
      const state = driver.read();
      return state === undefined ? {} : normalise(state);
    });
    return { servers: await this.servers(), addresses: [...(this.dummy.read() ?? [])].sort(), sets };
  }
}

async function play(steps: readonly Step[]): Promise<{ world: IpvsWorld; objects: FeedObject[] }> {
  const world = new IpvsWorld();
  const objects = new Map<string, FeedObject>();
  await world.feed([], [], true);
  for (const step of steps) {
    if (step.kind === "upsert") {
      objects.set(formatKey(keyOf(step.object)), step.object);
      await world.feed([step.object]);
    } else if (step.kind === "remove") {
      objects.delete(formatKey(step.key));
      await world.feed([], [step.key]);
    } else if (step.kind === "flush") {
      world.kernel.flush();
      world.dummy.remove();
      for (const one of world.ipvs.readServices())
        await world.ipvs.commit([{ op: "delete-service", service: one }]);
      // The table's watch hears of it a moment later.
      await Promise.resolve();
      await world.advance(30_100);
    } else {
      if (step.kind === "restart") world.start();
      await world.feed(objects.values(), [], true);
    }
  }
  return { world, objects: [...objects.values()] };
}

test("random histories end where a fresh start on the final objects ends", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(stepArbitrary, { minLength: 1, maxLength: 40 }), async (steps) => {
      const { world, objects } = await play(steps);
      const once = new IpvsWorld();
      await once.feed(objects.toReversed(), [], true);
      assert.deepEqual(await world.state(), await once.state());
      assert.deepEqual(
        world.reconciler.status().families.map(({ elements }) => elements),
        once.reconciler.status().families.map(({ elements }) => elements),
      );
      // A restart finds everything as it should be.
      const [sent, addresses] = [world.ipvs.sent.length, world.dummy.sent.length];
      const commits = world.nft.ip.commits + world.nft.ip6.commits;
      world.start();
      await world.feed(objects, [], true);
      assert.deepEqual(world.ipvs.sent.slice(sent), []);
      assert.deepEqual(world.dummy.sent.slice(addresses), []);
      assert.equal(world.nft.ip.commits + world.nft.ip6.commits, commits);
    }),
    { numRuns: Number(process.env["NODEPLANE_RUNS"] ?? 60) },
  );
});

const away = (address: string) => endpoint(address, { nodeName: "node2" });
const web = (...last: readonly number[]) => [
  service("web", { clusterIPs: ["10.96.0.10"] }),
  slice(
    "web",
    last.map((n) => away(`10.244.0.${n}`)),
  ),
];
const WEB: IpvsServiceKey = { family: "ip", protocol: 6, address: mustIp("10.96.0.10"), port: 80 };
const to = (n: number) => ({ address: mustIp(`10.244.0.${n}`), port: 8080 });
const KEYS = { service: keyOf(web(1)[0] as FeedObject), slice: keyOf(web(1)[1] as FeedObject) };

test("nothing is written before the first complete state", async () => {
  const world = new IpvsWorld();
  await world.feed(web(1));
  assert.deepEqual([world.ipvs.sent, world.dummy.sent, world.nft.ip.read()], [[], [], undefined]);
  await world.feed(web(1), [], true);
  assert.deepEqual(world.programmed, [2n]);
  assert.deepEqual(world.dummy.read(), ["10.96.0.10"]);
  assert.equal(world.reconciler.status().programmed, true);
});

test("a change costs what changed", async () => {
  const world = new IpvsWorld();
  const many = Array.from({ length: 50 }, (_, i) => [
    service(`s${i}`, { clusterIPs: [`10.96.1.${i + 1}`] }),
    slice(`s${i}`, [away("10.244.0.1"), away("10.244.0.2")]),
  ]).flat();
  await world.feed(many, [], true);
  const { length } = world.ipvs.sent;
  const commits = world.nft.ip.commits;
  await world.feed([slice("s7", [away("10.244.0.1"), away("10.244.0.3")])]);
  assert.deepEqual(
    world.ipvs.sent.slice(length).map(({ op }) => op),
    ["add-destination", "set-destination", "delete-destination"],
  );
  assert.equal(world.nft.ip.commits, commits, "no element depends on an endpoint elsewhere");
});

test("an endpoint that goes keeps its connections, also over a restart, until they end", async () => {
  const world = new IpvsWorld();
  await world.feed(web(1, 2), [], true);
  world.ipvs.setConnections(WEB, to(1), { active: 3, inactive: 1 });
  await world.feed(web(2));
  assert.deepEqual(await world.servers(), ["6 10.96.0.10 80 wrr 0 0: 10.244.0.1:8080=0 10.244.0.2:8080=1"]);
  assert.equal(world.reconciler.status().families[0]?.ipvs?.draining, 1);
  world.start();
  const { length } = world.ipvs.sent;
  await world.feed(web(2), [], true);
  assert.deepEqual(world.ipvs.sent.slice(length), []);
  assert.equal(world.reconciler.status().families[0]?.ipvs?.draining, 1);
  world.ipvs.setConnections(WEB, to(1), { active: 0, inactive: 1 });
  await world.advance(5_000);
  assert.equal(world.reconciler.status().families[0]?.ipvs?.draining, 1, "one is still being closed");
  world.ipvs.setConnections(WEB, to(1), { active: 0, inactive: 0 });
  await world.advance(5_000);
  assert.deepEqual(await world.servers(), ["6 10.96.0.10 80 wrr 0 0: 10.244.0.2:8080=1"]);
  assert.equal(world.reconciler.status().families[0]?.ipvs?.draining, 0);
});

test("an endpoint that comes back while it drains has its weight again; one that drains too long goes", async () => {
  const world = new IpvsWorld({ drainLimitMs: 60_000 });
  await world.feed(web(1, 2), [], true);
  world.ipvs.setConnections(WEB, to(1), { active: 1, inactive: 0 });
  await world.feed(web(2));
  await world.feed(web(1, 2));
  assert.deepEqual(await world.servers(), ["6 10.96.0.10 80 wrr 0 0: 10.244.0.1:8080=1 10.244.0.2:8080=1"]);
  await world.feed(web(2));
  for (let i = 0; i < 11; i++) await world.advance(5_000);
  assert.match((await world.servers()).join(), /10\.244\.0\.1:8080=0/);
  await world.advance(5_000);
  assert.doesNotMatch((await world.servers()).join(), /10\.244\.0\.1/);
});

test("a service that goes keeps its established connections and its address, but takes no new ones", async () => {
  const world = new IpvsWorld();
  await world.feed(web(1), [], true);
  world.ipvs.setConnections(WEB, to(1), { active: 2, inactive: 0 });
  await world.feed([], [KEYS.service, KEYS.slice]);
  const names = () => {
    const state = world.nft.ip.read();
    return Object.entries(state === undefined ? {} : normalise(state))
      .filter(([, elements]) => elements.length > 0)
      .map(([name]) => name)
      .sort();
  };
  assert.deepEqual(await world.servers(), ["6 10.96.0.10 80 wrr 0 0: 10.244.0.1:8080=0"]);
  assert.deepEqual(world.dummy.read(), ["10.96.0.10"]);
  assert.deepEqual(names(), ["kept-frontends", "service-addresses"], "new ones are refused by the address");
  world.start();
  await world.feed([], [], true);
  assert.deepEqual(names(), ["kept-frontends", "service-addresses"], "known after a restart");
  assert.equal((await world.servers()).length, 1);
  world.ipvs.setConnections(WEB, to(1), { active: 0, inactive: 2 });
  await world.advance(5_000);
  assert.deepEqual([await world.servers(), world.dummy.read(), names()], [[], [], []]);
});

test("UDP leaves at once", async () => {
  const ports = [{ name: "", protocol: "UDP", port: 53, nodePort: 0 }] as const;
  const dns = (...last: readonly number[]) => [
    service("dns", { clusterIPs: ["10.96.0.10"], ports }),
    slice(
      "dns",
      last.map((n) => endpoint(`10.244.0.${n}`)),
      { ports: [{ name: "", protocol: "UDP", port: 53 }] },
    ),
  ];
  const world = new IpvsWorld();
  await world.feed(dns(1, 2), [], true);
  const key: IpvsServiceKey = { ...WEB, protocol: 17, port: 53 };
  world.ipvs.setConnections(key, { address: mustIp("10.244.0.1"), port: 53 }, { active: 0, inactive: 5 });
  const frontend = { family: "ip", protocol: 17, address: packIp(mustIp("10.96.0.10")), port: 53 } as const;
  const led = () => [...world.reconciler.flowDestinations(frontend)].map(formatDestination).sort();
  assert.deepEqual(led(), ["10.244.0.1:53", "10.244.0.2:53"]);
  await world.feed(dns(2));
  assert.deepEqual(await world.servers(), ["17 10.96.0.10 53 wrr 0 0: 10.244.0.2:53=1"]);
  assert.deepEqual(led(), ["10.244.0.2:53"]);
  await world.feed(dns());
  assert.deepEqual(await world.servers(), []);
  assert.deepEqual(led(), [], "a flow that existed has nowhere to go");
});

test("what others change is mended after syncPeriod, and counted; what is not ours stays", async () => {
  const world = new IpvsWorld();
  await world.feed(web(1, 2), [], true);
  const before = await world.state();
  const foreign = { ...WEB, address: mustIp("192.0.2.1"), scheduler: "rr", flags: 0, timeoutSeconds: 0 };
  await world.ipvs.commit([
    { op: "add-service", service: foreign },
    { op: "delete-destination", service: WEB, destination: to(1) },
    { op: "set-destination", service: WEB, destination: { ...to(2), weight: 7 } },
    { op: "add-destination", service: WEB, destination: { ...to(9), weight: 1 } },
  ]);
  await world.dummy.commit([{ op: "remove", address: WEB.address }]);
  await world.advance(30_000);
  assert.equal(world.reconciler.status().families[0]?.counters.repairs, 1);
  assert.equal((await world.servers()).length, 2);
  world.start();
  await world.feed(web(1, 2), [], true);
  assert.equal((await world.servers()).length, 2, "nor is it taken after a restart");
  await world.ipvs.commit([{ op: "delete-service", service: foreign }]);
  assert.deepEqual(await world.state(), before);
});

test("leftovers on our addresses go after a restart, unless they are in excludeCIDRs", async () => {
  for (const excludeCIDRs of [[], [mustCidr("10.96.0.0/16")]]) {
    const world = new IpvsWorld({ excludeCIDRs });
    await world.feed(web(1), [], true);
    const left = { ...WEB, port: 81, scheduler: "rr", flags: 0, timeoutSeconds: 0 };
    await world.ipvs.commit([{ op: "add-service", service: left }]);
    world.start({ excludeCIDRs });
    await world.feed(web(1), [], true);
    assert.equal((await world.servers()).length, excludeCIDRs.length === 0 ? 1 : 2);
  }
});

test("a service that the kernel refuses is reported, the others go live, and it comes back", async () => {
  for (const what of ["ipvs", "dummy"] as const) {
    const world = new IpvsWorld();
    const bad = service("bad", { clusterIPs: ["10.96.0.66"] });
    world[what].refused.add(mustIp("10.96.0.66"));
    await world.feed([bad, slice("bad", [endpoint("10.244.0.1")]), ...web(1)], [], true);
    const refused = () =>
      world.reconciler.status().refused.map(({ object, reason }) => `${object.name} ${reason}`);
    assert.deepEqual(refused(), ["bad KernelRefused"], what);
    assert.deepEqual(world.programmed, [1n], "the others are live");
    assert.ok(world.dummy.read()?.includes(mustIp("10.96.0.10")));
    await world.advance(1_000);
    assert.deepEqual(refused(), ["bad KernelRefused"], "still");
    world[what].refused.clear();
    await world.advance(60_000);
    assert.deepEqual(refused(), []);
    assert.equal((await world.servers()).length, 2);
    assert.equal(world.dummy.read()?.length, 2);
  }
});

test("a kernel that fails as a whole is tried again, and nothing counts as programmed before", async () => {
  const world = new IpvsWorld();
  const read = world.ipvs.read.bind(world.ipvs);
  world.ipvs.read = () => Promise.reject(new Error("broken"));
  await world.feed(web(1), [], true);
  assert.equal(world.reconciler.status().programmed, false);
  assert.match(world.reconciler.status().lastError?.message ?? "", /broken/);
  world.ipvs.read = read;
  await world.advance(1_000);
  assert.equal(world.reconciler.status().programmed, true);
  assert.deepEqual(world.programmed, [1n]);
});

test("node ports follow the node's addresses", async () => {
  const world = new IpvsWorld();
  const ports = [{ name: "", protocol: "TCP", port: 80, nodePort: 30_080 }] as const;
  const objects = [
    service("np", { type: "NodePort", clusterIPs: ["10.96.0.10"], ports }),
    slice("np", [endpoint("10.244.0.1")]),
  ];
  await world.feed(objects, [], true);
  const has = async (address: string) =>
    (await world.servers()).some((line) => line.startsWith(`6 ${address} 30080`));
  const [first] = node.primaryAddresses;
  assert.ok(await has(first ?? ""));
  const moved = mustIp("192.168.9.9");
  world.reconciler.setNode({ ...node, nodeAddresses: [moved], primaryAddresses: [moved] });
  await world.reconciler.idle();
  assert.deepEqual([await has(first ?? ""), await has("192.168.9.9")], [false, true]);
});
