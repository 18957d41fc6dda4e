/** Laws of planning, on random histories: incremental equals at once, adoption writes only differences. Seeds are printed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { FeedObject, ObjectKey, ServicePort } from "../../../src/model/objects.ts";
import { formatKey, keyOf } from "../../../src/model/objects.ts";
import { endpoint, nodeConfig, service, slice } from "../../support/objects.ts";
import { mustCidr, mustIp } from "../../support/packet-cases.ts";
import { World } from "../../support/reconcile.ts";

// Few values, so that units collide all the time.
const NAMES = ["a", "b", "c", "d"];
const EXTERNAL = ["203.0.113.1", "203.0.113.2"].map(mustIp);
const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;

const portArbitrary: fc.Arbitrary<ServicePort> = fc.record({
  name: fc.constantFrom("", "x"),
  protocol: fc.constantFrom(...PROTOCOLS),
  port: fc.constantFrom(80, 81),
  nodePort: fc.constantFrom(0, 30_000, 30_001),
});

const serviceArbitrary = fc
  .record({
    name: fc.constantFrom(...NAMES),
    clusterIP: fc.constantFrom("10.96.0.1", "10.96.0.2", "10.96.0.3"),
    isDual: fc.boolean(),
    createdAtMs: fc.constantFrom(0, 1, 2, 3),
    ports: fc.uniqueArray(portArbitrary, {
      minLength: 1,
      maxLength: 2,
      selector: (port) => `${port.name}${port.protocol}`,
    }),
    externalIPs: fc.subarray(EXTERNAL),
    hasIngress: fc.boolean(),
    ranges: fc.subarray(["192.0.2.0/24", "192.0.2.128/25", "192.168.0.0/16"].map(mustCidr)),
    internal: fc.constantFrom("Cluster" as const, "Local" as const),
    external: fc.constantFrom("Cluster" as const, "Local" as const),
    isHeadless: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    affinitySeconds: fc.constantFrom(0, 0, 10, 20),
  })
  .map((s) =>
    service(s.name, {
      clusterIPs: s.isDual ? [s.clusterIP, "fd00:10:96::1"] : [s.clusterIP],
      createdAtMs: s.createdAtMs,
      headless: s.isHeadless,
      ports: s.ports,
      externalIPs: s.externalIPs,
      loadBalancerIngress: s.hasIngress ? [{ ip: mustIp("203.0.113.2"), ipMode: "VIP" }] : [],
      loadBalancerSourceRanges: s.ranges,
      internalTrafficPolicy: s.internal,
      externalTrafficPolicy: s.external,
      sessionAffinity: s.affinitySeconds > 0 ? "ClientIP" : "None",
      affinityTimeoutSeconds: s.affinitySeconds > 0 ? s.affinitySeconds : 10_800,
    }),
  );

const endpointArbitrary = (base: string) =>
  fc
    .record({
      last: fc.integer({ min: 1, max: 12 }),
      isHere: fc.boolean(),
      state: fc.constantFrom("ready", "terminating", "dead"),
      weight: fc.constantFrom(undefined, 0, 1, 3, 256),
      zones: fc.constantFrom([], ["z1"], ["z2"]),
    })
    .map((e) =>
      endpoint(`${base}${e.last}`, {
        nodeName: e.isHere ? "node1" : "node2",
        ready: e.state === "ready",
        serving: e.state !== "dead",
        terminating: e.state !== "ready",
        hintZones: e.zones,
        ...(e.weight === undefined ? {} : { weight: e.weight }),
      }),
    );

const sliceArbitrary = fc
  .record({
    name: fc.constantFrom(...NAMES),
    suffix: fc.constantFrom("1", "2"),
    endpoints: fc.array(endpointArbitrary("10.244.0."), { maxLength: 12 }),
    port: fc.constantFrom(8080, 8081),
  })
  .map((s) =>
    slice(s.name, s.endpoints, {
      suffix: s.suffix,
      ports: PROTOCOLS.flatMap((protocol) => ["", "x"].map((name) => ({ name, protocol, port: s.port }))),
    }),
  );

type Step =
  | { readonly kind: "upsert"; readonly object: FeedObject }
  | { readonly kind: "remove"; readonly key: ObjectKey }
  | { readonly kind: "commit" | "restart" | "flush" | "snapshot" };

const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: serviceArbitrary.map((object): Step => ({ kind: "upsert", object })) },
  { weight: 10, arbitrary: sliceArbitrary.map((object): Step => ({ kind: "upsert", object })) },
  {
    weight: 4,
    arbitrary: fc
      .oneof(serviceArbitrary, sliceArbitrary)
      .map((o): Step => ({ kind: "remove", key: keyOf(o) })),
  },
  { weight: 6, arbitrary: fc.constant<Step>({ kind: "commit" }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Step>({ kind: "restart" }, { kind: "flush" }, { kind: "snapshot" }),
  },
);

const ZONED = { node: nodeConfig({ zone: "z1" }) };

async function play(steps: readonly Step[]): Promise<{ world: World; objects: Map<string, FeedObject> }> {
  const world = new World(ZONED);
  await world.snapshot([]);
  const objects = new Map<string, FeedObject>();
  let upserts: FeedObject[] = [];
  let removes: ObjectKey[] = [];
  const commit = async () => {
    await world.feed(upserts, removes);
    upserts = [];
    removes = [];
  };
  for (const step of [...steps, { kind: "commit" } as const]) {
    if (step.kind === "upsert") {
      await (removes.length > 0 ? commit() : undefined);
      upserts.push(step.object);
      objects.set(formatKey(keyOf(step.object)), step.object);
    } else if (step.kind === "remove") {
      await (upserts.length > 0 ? commit() : undefined);
      removes.push(step.key);
      objects.delete(formatKey(step.key));
    } else if (step.kind === "commit") await commit();
    else {
      await commit();
      if (step.kind === "restart") world.start(ZONED);
      if (step.kind === "flush") {
        world.kernel.flush();
        await Promise.resolve();
        world.clock.advance(2000);
        await world.settle();
      } else await world.snapshot(objects.values());
    }
  }
  return { world, objects };
}

/** Chains with their rules; the order of chains is history. */
function rulesOf(world: World, family: "ip" | "ip6"): Readonly<Record<string, readonly string[]>> {
  const state = world.drivers[family].read();
  return Object.fromEntries(
    (state?.chains ?? []).map(({ name }) => [
      name,
      (state?.rules ?? []).filter(({ chain }) => chain === name).map(({ canonical }) => canonical),
    ]),
  );
}

const RUNS = { numRuns: Number(process.env["NODEPLANE_RUNS"] ?? 40), verbose: fc.VerbosityLevel.None };

test("step by step equals at once, whatever the order", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(stepArbitrary, { minLength: 1, maxLength: 40 }),
      fc.nat(),
      async (steps, turn) => {
        const { world, objects } = await play(steps);
        const list = [...objects.values()];
        const at = list.length === 0 ? 0 : turn % list.length;
        const once = new World(ZONED);
        await once.snapshot([...list.slice(at), ...list.slice(0, at)].reverse());
        for (const family of ["ip", "ip6"] as const) {
          assert.deepEqual(world.sets(family), once.sets(family));
          assert.deepEqual(rulesOf(world, family), rulesOf(once, family));
        }
        assert.deepEqual(
          new Set(world.reconciler.status().refused),
          new Set(once.reconciler.status().refused),
        );
        assert.equal(
          world.reconciler.status().families[0]?.elements,
          Object.values(once.drivers.ip.read()?.sets.values().toArray() ?? []).reduce(
            (sum, set) => sum + set.elements.count,
            0,
          ),
        );
      },
    ),
    RUNS,
  );
});

test("a second plan writes nothing, nor does an agent that restarts", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(stepArbitrary, { minLength: 1, maxLength: 30 }), async (steps) => {
      const { world, objects } = await play(steps);
      const before = world.commits;
      await world.snapshot(objects.values());
      world.start(ZONED);
      await world.snapshot([...objects.values()].reverse());
      assert.equal(world.commits, before);
    }),
    RUNS,
  );
});

test("a table in any state of another history is brought to the desired one", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(stepArbitrary, { minLength: 1, maxLength: 20 }),
      fc.array(stepArbitrary, { minLength: 1, maxLength: 20 }),
      async (one, other) => {
        const { world } = await play(one);
        const { world: wanted, objects } = await play(other);
        world.start(ZONED);
        await world.snapshot(objects.values());
        for (const family of ["ip", "ip6"] as const)
          assert.deepEqual(world.sets(family), wanted.sets(family));
        assert.deepEqual(rulesOf(world, "ip"), rulesOf(wanted, "ip"));
      },
    ),
    RUNS,
  );
});
