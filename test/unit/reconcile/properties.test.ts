/** Laws of planning, on random histories: incremental equals at once, adoption writes only differences. Seeds are printed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { FeedObject, ObjectKey } from "../../../src/model/objects.ts";
import { formatKey, keyOf } from "../../../src/model/objects.ts";
import { nodeConfig } from "../../support/objects.ts";
import { type Step, stepArbitrary } from "../../support/random-history.ts";
import { World } from "../../support/reconcile.ts";

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
