/** The iptables reconciler on fake commands and a fake clock: partial and full syncs, blame, canaries, restart, limits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MAX_NFT_CHAINS } from "../../../src/agent/reconcile/iptables/iptables-programmer.ts";
import {
  IptablesReconciler,
  MANY_SERVICES,
} from "../../../src/agent/reconcile/iptables/iptables-reconciler.ts";
import { FakeIptables } from "../../../src/drivers/iptables/index.ts";
import type { IpAddress } from "../../../src/model/ip.ts";
import type { FeedObject, ObjectKey } from "../../../src/model/objects.ts";
import { formatKey, keyOf } from "../../../src/model/objects.ts";
import { IptablesTracer, readRules } from "../../support/iptables-tracer.ts";
import { caseNode, fixtureObjects, mustIp, readCaseFile } from "../../support/packet-cases.ts";
import { type Step, stepArbitrary } from "../../support/random-history.ts";
import { TestClock } from "../../support/reconcile.ts";
import type { Outcome, TracedPacket } from "../../support/tracer.ts";

const file = readCaseFile();
const [anyCase] = file.cases;
if (anyCase === undefined) throw new Error("no cases");
const node = caseNode(file, anyCase, "iptables");

class IptablesWorld {
  readonly clock = new TestClock();
  readonly drivers: { readonly ip: FakeIptables; readonly ip6: FakeIptables };
  readonly logged: string[] = [];
  programmed: bigint[] = [];
  reconciler: IptablesReconciler;
  #revision = 0n;

  constructor(variant: "legacy" | "nft" = "legacy") {
    this.drivers = { ip: new FakeIptables("ip", variant), ip6: new FakeIptables("ip6", variant) };
    this.reconciler = this.start();
  }

  start(): IptablesReconciler {
    this.reconciler?.stop();
    return new IptablesReconciler({
      drivers: this.drivers,
      node,
      clock: this.clock,
      minSyncPeriodMs: 1000,
      syncPeriodMs: 30_000,
      log: (level, message) => void this.logged.push(`${level} ${message}`),
      onProgrammed: ({ revision }) => void this.programmed.push(revision),
    });
  }

  commit(upserts: Iterable<FeedObject>, removes: readonly ObjectKey[] = [], snapshot = false): void {
    const batch = { revision: ++this.#revision, snapshot, origin: "live", changedAtMs: 0 } as const;
    this.reconciler.begin(batch);
    for (const key of removes) this.reconciler.remove(key);
    for (const object of upserts) this.reconciler.upsert(object);
    this.reconciler.commit(batch);
  }

  async feed(upserts: Iterable<FeedObject>, removes: readonly ObjectKey[] = [], snapshot = false) {
    this.commit(upserts, removes, snapshot);
    await this.reconciler.idle();
  }

  rules(text: string): readonly string[] {
    return this.drivers.ip
      .text()
      .split("\n")
      .filter((line) => line.startsWith("-A") && line.includes(text));
  }
}

/** Lets promises settle without time. */
async function settle(): Promise<void> {
  for (let i = 0; i < 200; i++) await Promise.resolve();
}

function many(count: number): FeedObject[] {
  const [service, slice] = fixtureObjects(file, "np").filter((object) => object.kind !== "ServiceCIDR");
  if (service?.kind !== "Service" || slice?.kind !== "EndpointSlice") throw new Error("fixture changed");
  return Array.from({ length: count }, (_, i) => {
    const address = `172.30.${i >> 8}.${i & 255}` as (typeof service.clusterIPs)[number];
    const meta = { ...service.meta, name: `svc${i}` };
    const ports = service.ports.map((port) => ({ ...port, nodePort: 0 }));
    return [
      { ...service, meta, ports, clusterIPs: [address] },
      { ...slice, meta: { ...slice.meta, name: `svc${i}-x` }, serviceName: `svc${i}` },
    ];
  }).flat();
}

/** Plays a history; what was there before a restart or a flush must not matter afterwards. */
async function play(world: IptablesWorld, steps: readonly Step[]): Promise<FeedObject[]> {
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
      world.drivers.ip.flush();
      world.drivers.ip6.flush();
      world.clock.advance(30_000);
      await settle();
    } else {
      if (step.kind === "restart") world.reconciler = world.start();
      await world.feed(objects.values(), [], true);
    }
  }
  return [...objects.values()];
}

test("random histories end where a fresh start on the final objects ends, and lead to endpoints alone", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(stepArbitrary, { minLength: 1, maxLength: 40 }), async (steps) => {
      const world = new IptablesWorld();
      const objects = await play(world, steps);
      const once = new IptablesWorld();
      await once.feed(objects.toReversed(), [], true);
      const endpoints = new Set<string>(
        objects.flatMap((object) =>
          object.kind === "EndpointSlice" ? object.endpoints.flatMap(({ addresses }) => addresses) : [],
        ),
      );
      for (const family of ["ip", "ip6"] as const) {
        const [text, fresh] = [world.drivers[family].text(), once.drivers[family].text()];
        assert.deepEqual(text.split("\n").toSorted(), fresh.split("\n").toSorted());
        if (family === "ip") for (const object of objects) checkBackends(text, object, endpoints);
      }
    }),
    { numRuns: Number(process.env["NODEPLANE_RUNS"] ?? 60) },
  );
});

/** Walks packets to every frontend of a Service, through what the kernel holds. */
function checkBackends(text: string, object: FeedObject, endpoints: ReadonlySet<string>): void {
  if (object.kind !== "Service") return;
  const rules = readRules(text);
  const protocols = { TCP: 6, UDP: 17, SCTP: 132 } as const;
  const addresses: readonly IpAddress[] = [...object.clusterIPs, ...object.externalIPs];
  for (const { protocol, port } of object.ports)
    for (const destination of addresses) {
      if (destination.includes(":")) continue;
      const packet: TracedPacket = {
        family: "ip",
        source: mustIp("203.0.113.77"),
        destination,
        protocol: protocols[protocol],
        port,
        isFromNode: false,
        nodeAddresses: new Set<string>(node.nodeAddresses),
      };
      const outcomes: readonly Outcome[] = new IptablesTracer(rules, packet).trace();
      for (const { result, backend = "" } of outcomes)
        assert.ok(result !== "BACKEND" || endpoints.has(backend.split(":")[0] ?? ""), `${backend} of nobody`);
    }
}

test("nothing is written before the first complete state", async () => {
  const world = new IptablesWorld();
  await world.feed(fixtureObjects(file, "np"));
  assert.equal(world.drivers.ip.inputs.length, 0);
  await world.feed(fixtureObjects(file, "np"), [], true);
  assert.equal(world.rules("DNAT").length, 2);
  assert.deepEqual(world.programmed, [2n]);
});

test("what is there is read while the first state is taken, and again when that took long", async () => {
  for (const [waitMs, saves] of [
    [500, 1],
    [5_000, 2],
  ] as const) {
    const world = new IptablesWorld();
    const batch = { revision: 1n, snapshot: true, origin: "live", changedAtMs: 0 } as const;
    world.reconciler.begin(batch);
    assert.equal(world.drivers.ip.saves, 1);
    // Somebody is quicker than the second reading; after the first one it takes a canary to find out.
    if (saves === 2) await world.drivers.ip.restore(["*nat", ":KUBE-SVC-STALE - [0:0]", "COMMIT"]);
    for (const object of many(3)) world.reconciler.upsert(object);
    world.clock.advance(waitMs);
    world.reconciler.commit(batch);
    await world.reconciler.idle();
    assert.equal(world.drivers.ip.saves, saves);
    assert.equal(world.rules("DNAT").length, 6);
    assert.doesNotMatch(world.drivers.ip.text(), /STALE/);
  }
});

test("a change writes the changed service's chains alone, and reads nothing", async () => {
  const world = new IptablesWorld();
  await world.feed(many(20), [], true);
  const { saves } = world.drivers.ip;
  const slice = many(1)[1];
  assert.ok(slice?.kind === "EndpointSlice");
  await world.feed([{ ...slice, endpoints: slice.endpoints.slice(1) }]);
  assert.equal(world.drivers.ip.saves, saves);
  const input = world.drivers.ip.inputs.at(-1) ?? [];
  const own = input.filter((line) => /^:KUBE-(SVC|SEP)/.test(line));
  assert.equal(own.length, 2, "the set's chain written, the lost endpoint's removed");
  assert.equal(input.filter((line) => line.startsWith("-X KUBE-SEP-")).length, 1);
  assert.equal(world.rules("DNAT").length, 39);
});

test("step by step ends where a fresh start ends, and removed services leave nothing", async () => {
  const stepwise = new IptablesWorld();
  await stepwise.feed(many(5), [], true);
  await stepwise.feed(
    [],
    many(3).map((object) => ({ kind: object.kind, namespace: "ns1", name: object.meta.name })),
  );
  const atOnce = new IptablesWorld();
  await atOnce.feed(many(5).slice(6), [], true);
  const sorted = (world: IptablesWorld) => world.drivers.ip.text().split("\n").toSorted();
  assert.deepEqual(sorted(stepwise), sorted(atOnce));
});

test("minSyncPeriod collects changes", async () => {
  const world = new IptablesWorld();
  await world.feed(many(3), [], true);
  const { length } = world.drivers.ip.inputs;
  world.commit(many(4));
  world.commit(many(5));
  await settle();
  assert.equal(world.drivers.ip.inputs.length, length, "too early");
  world.clock.advance(1000);
  await settle();
  assert.equal(world.drivers.ip.inputs.length, length + 1);
  assert.deepEqual(world.programmed, [1n, 3n]);
});

test("a bad service is reported, the others go live, and it comes back", async () => {
  const world = new IptablesWorld();
  world.drivers.ip.refuse = "172.30.0.3 ";
  await world.feed(many(8), [], true);
  const refused = world.reconciler.status().refused.map(({ object, reason }) => `${object.name} ${reason}`);
  assert.deepEqual(refused, ["svc3 KernelRefused"]);
  assert.equal(world.drivers.ip.inputs.length, 2, "the line tells who is to blame");
  assert.equal(world.rules("cluster IP").filter((line) => line.startsWith("-A KUBE-SERVICES")).length, 7);
  assert.deepEqual(world.programmed, [1n]);
  world.drivers.ip.refuse = undefined;
  world.clock.advance(1000);
  await settle();
  assert.deepEqual(world.reconciler.status().refused, []);
  assert.equal(world.rules("DNAT").length, 16);
});

test("a refused change leaves the service as it was, and counts", async () => {
  const world = new IptablesWorld();
  await world.feed(many(4), [], true);
  const before = world.drivers.ip.text();
  world.drivers.ip.refuse = "10.99.99.99";
  const slice = many(1)[1];
  assert.ok(slice?.kind === "EndpointSlice");
  const [first] = slice.endpoints;
  assert.ok(first !== undefined);
  const address = "10.99.99.99" as (typeof first.addresses)[number];
  await world.feed([{ ...slice, endpoints: [{ ...first, addresses: [address] }] }]);
  assert.equal(world.drivers.ip.text(), before);
  const figures = world.reconciler.status().families[0]?.iptables;
  assert.equal(figures?.partialRestoreFailures, 1);
  assert.equal(world.reconciler.status().refused.length, 1);
});

test("flushed rules are back after one canary period, and counted", async () => {
  const world = new IptablesWorld();
  await world.feed(many(2), [], true);
  const before = world.drivers.ip.text();
  world.drivers.ip.flush();
  world.clock.advance(30_000);
  await settle();
  assert.equal(world.drivers.ip.text(), before);
  assert.equal(world.reconciler.status().families[0]?.counters.repairs, 1);
});

test("a restart keeps what is there, writes once and removes stale chains", async () => {
  const world = new IptablesWorld();
  await world.feed(many(3), [], true);
  const before = world.drivers.ip.text();
  world.reconciler = world.start();
  assert.equal(world.drivers.ip.text(), before, "not touched before the first state");
  await world.feed(many(2), [], true);
  assert.equal(world.rules("DNAT").length, 4);
  assert.equal(world.rules("svc2").length, 0);
  assert.equal(world.rules("-A INPUT").length, 3, "no jump twice");
});

test("a restart beside rules that are right writes nothing; one wrong chain is written alone", async () => {
  const world = new IptablesWorld();
  await world.feed(many(3), [], true);
  const { length } = world.drivers.ip.inputs;
  world.reconciler = world.start();
  await world.feed(many(3), [], true);
  assert.equal(world.drivers.ip.inputs.length, length);
  assert.equal(world.reconciler.status().families[0]?.counters.adoptions, 1);
  assert.deepEqual(world.programmed, [1n, 2n]);

  const chain = /-A (KUBE-SVC-\S+)/.exec(world.drivers.ip.text())?.[1] ?? "";
  await world.drivers.ip.restore(["*nat", `:${chain} - [0:0]`, "COMMIT"]);
  world.reconciler = world.start();
  await world.feed(many(3), [], true);
  const written = world.drivers.ip.inputs.at(-1) ?? [];
  assert.deepEqual(
    written.filter((line) => line.startsWith(":")),
    [`:${chain} - [0:0]`],
  );
});

test("everything is looked at once an hour", async () => {
  const world = new IptablesWorld();
  await world.feed(many(1), [], true);
  const { saves } = world.drivers.ip;
  for (let i = 0; i < 125; i++) {
    world.clock.advance(30_000);
    await settle();
  }
  assert.equal(world.drivers.ip.saves, saves + 1);
});

test("more services than this mode is good for are said once; many endpoints lose their comments", async () => {
  const world = new IptablesWorld();
  await world.feed(many(MANY_SERVICES + 1), [], true);
  await world.feed(many(MANY_SERVICES + 2));
  assert.equal(world.logged.filter((line) => line.includes("so many services")).length, 1);
  assert.equal(world.rules(" -> ").length, 0);
  assert.equal(world.rules("DNAT").length, 2 * (MANY_SERVICES + 2));
});

test("the nft variant is written in parts: chains first, then what leads to them, then stale ones away", async () => {
  const world = new IptablesWorld("nft");
  await world.feed(many(700), [], true);
  const inputs = world.drivers.ip.inputs.map((lines) => ({
    chains: lines.filter((line) => /^:KUBE-(SVC|SEP)-/.test(line)).length,
    services: lines.some((line) => line.startsWith("-A KUBE-SERVICES")),
  }));
  assert.deepEqual(
    inputs.map(({ services }) => services),
    [false, false, false, true],
  );
  for (const { chains } of inputs) assert.ok(chains <= 1003, `${chains} chains in one input`);
  const legacy = new IptablesWorld("legacy");
  await legacy.feed(many(700), [], true);
  assert.equal(legacy.drivers.ip.inputs.length, 1);
  const sorted = (one: IptablesWorld) => one.drivers.ip.text().split("\n").toSorted();
  assert.deepEqual(sorted(world), sorted(legacy));

  await world.feed(many(1), [], true);
  assert.equal(world.rules("DNAT").length, 2, "stale chains are gone");
  const last = world.drivers.ip.inputs.at(-1) ?? [];
  assert.ok(
    last.every((line) => !line.startsWith("-A")),
    "the last input only removes",
  );
});

test("the nft variant refuses more chains than it can load, clearly, and recovers when there are fewer", async () => {
  const world = new IptablesWorld("nft");
  await world.feed(many(2), [], true);
  const { length } = world.drivers.ip.inputs;
  // Three chains a service.
  world.commit(many(Math.ceil(MAX_NFT_CHAINS / 3) + 1), [], true);
  world.clock.advance(1000);
  await settle();
  const { lastError, revision, pendingSinceMs } = world.reconciler.status();
  assert.match(
    lastError?.message ?? "",
    /chains are too many for iptables-nft \(at most 60000\): use mode nftables/,
  );
  assert.equal(revision, "1");
  assert.ok(pendingSinceMs !== undefined, "health and readiness see that changes wait");
  assert.equal(world.drivers.ip.inputs.length, length, "the machine is not stalled by trying");
  assert.equal(world.rules("DNAT").length, 4, "what was there stays");
  world.commit(many(3), [], true);
  world.clock.advance(60_000);
  await settle();
  assert.equal(world.rules("DNAT").length, 6);
});
