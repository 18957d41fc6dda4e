/** Slots and weights: places are kept, shares are even. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { pickChain, SIZE_CLASSES } from "../../../src/plan/nftables/names.ts";
import { rulesOf } from "../../../src/plan/nftables/rules.ts";
import { assignSlots } from "../../../src/plan/nftables/slots.ts";
import { planNft } from "../../../src/plan/plan-text.ts";
import type { Target } from "../../../src/plan/unit.ts";
import { reduceWeights } from "../../../src/plan/weights.ts";
import { endpoint, nodeConfig, nthIp, service, slice } from "../../support/objects.ts";
import { mustIp } from "../../support/packet-cases.ts";
import { TableModel } from "../../support/table-model.ts";
import { Tracer } from "../../support/tracer.ts";

const WIDTH = 6;
const target = (n: number, slots = 1): Target => ({
  destination: String.fromCharCode(10, 0, n >> 8, n & 255, 31, 144),
  slots,
  mayBeHere: false,
});

/** How many slots hold something else. */
function moves(before: string, after: string): number {
  let count = 0;
  for (let at = 0; at < Math.max(before.length, after.length); at += WIDTH)
    if (before.slice(at, at + WIDTH) !== after.slice(at, at + WIDTH)) count++;
  return count;
}

/** Share of each backend of a service with these endpoints, worked out exactly. */
function shares(count: number, weights: readonly (number | undefined)[] = []): Map<string, number> {
  const endpoints = Array.from({ length: count }, (_, i) => {
    const weight = weights[i];
    return endpoint(nthIp("10.244.1.1", i), weight === undefined ? {} : { weight });
  });
  const { ops } = planNft([service("web"), slice("web", endpoints)], nodeConfig());
  const outcomes = new Tracer(new TableModel().apply(ops.ip), {
    family: "ip",
    source: mustIp("10.244.9.9"),
    destination: mustIp("10.96.0.10"),
    protocol: 6,
    port: 80,
    isFromNode: false,
    nodeAddresses: new Set(),
  }).trace();
  const result = new Map<string, number>();
  for (const { backend = "none", probability } of outcomes)
    result.set(backend, (result.get(backend) ?? 0) + probability);
  return result;
}

suite("slots", () => {
  const rows: readonly { name: string; from: number[]; to: number[]; most: number }[] = [
    { name: "replace one", from: [1, 2, 3, 4], to: [1, 2, 9, 4], most: 1 },
    { name: "add one", from: [1, 2, 3], to: [0, 1, 2, 3], most: 1 },
    { name: "remove the first", from: [1, 2, 3, 4], to: [2, 3, 4], most: 2 },
    { name: "remove the last", from: [1, 2, 3, 4], to: [1, 2, 3], most: 1 },
    { name: "remove all", from: [1, 2], to: [], most: 2 },
  ];
  for (const { name, from, to, most } of rows) {
    test(`${name} moves at most ${most}`, () => {
      const of = (list: number[]) => list.map((n) => target(n));
      const before = assignSlots("", WIDTH, of(from));
      assert.ok(moves(before, assignSlots(before, WIDTH, of(to))) <= most);
    });
  }

  test("holds each destination as often as it has slots, from any start", () => {
    const targets = fc
      .uniqueArray(fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 3 })), {
        selector: ([n]) => n,
        maxLength: 12,
      })
      .map((list) => list.map(([n, slots]) => target(n, slots)));
    fc.assert(
      fc.property(targets, targets, (one, other) => {
        const after = assignSlots(assignSlots("", WIDTH, one), WIDTH, other);
        const held: string[] = [];
        for (let at = 0; at < after.length; at += WIDTH) held.push(after.slice(at, at + WIDTH));
        const wanted = other.flatMap((t) => Array.from({ length: t.slots }, () => t.destination));
        assert.deepEqual(held.sort(), wanted.sort());
      }),
    );
  });

  for (const count of [1, 2, 3, 4]) {
    test(`${count} endpoints get even shares`, () => {
      const found = shares(count);
      assert.equal(found.size, count);
      for (const share of found.values())
        assert.ok(Math.abs(share * count - 1) < 0.02, `${share} of 1/${count}`);
    });
  }

  test("any number of slots: no share is more than 12.5 % off", () => {
    for (const size of SIZE_CLASSES) {
      const moduli = rulesOf(nodeConfig(), "ip").flatMap(({ chain, statements: [statement] }) => {
        if (chain !== pickChain("frontend", size) || statement?.kind !== "dnat-map") return [];
        return statement.fields.flatMap((f) => (typeof f === "string" ? [] : [f.numgenRandomModulus]));
      });
      const least = (SIZE_CLASSES[SIZE_CLASSES.indexOf(size) - 1] ?? 0) + 1;
      for (let slots = least; slots <= size; slots += size > 1024 ? 31 : 1) {
        // Slots between two moduli have equal shares: those just below and at each modulus are all there are.
        const places = [0, slots - 1, ...moduli.flatMap((n) => [n - 1, n])].filter((at) => at < slots);
        for (const at of places) {
          let left = 1;
          let share = 0;
          for (const modulus of moduli) {
            if (at < modulus) share += left / modulus;
            left *= 1 - Math.min(slots, modulus) / modulus;
          }
          assert.ok(Math.abs(share * slots - 1) <= 0.125, `slot ${at} of ${slots}: ${share * slots}`);
        }
      }
    }
  });

  test("weights are shares, weight 0 gets nothing", () => {
    const found = shares(3, [3, 1, 0]);
    assert.ok(Math.abs((found.get("10.244.1.1:8080") ?? 0) - 0.75) < 0.01);
    assert.ok(Math.abs((found.get("10.244.1.2:8080") ?? 0) - 0.25) < 0.01);
    assert.equal(found.size, 2);
    assert.deepEqual([...shares(2, [0, 0]).keys()], ["none"]);
  });
});

suite("weights", () => {
  const rows: readonly { weights: number[]; slots: number[]; isRounded?: boolean; leftOut?: number }[] = [
    { weights: [1, 1], slots: [1, 1] },
    { weights: [100, 50], slots: [2, 1] },
    { weights: [256, 1], slots: [256, 1] },
    { weights: [], slots: [] },
  ];
  for (const row of rows) {
    test(`${row.weights} become ${row.slots}`, () => {
      assert.deepEqual(reduceWeights(row.weights), { slots: row.slots, isRounded: false, leftOut: 0 });
    });
  }

  test("too many shares are rounded, nobody loses all", () => {
    const { slots, isRounded } = reduceWeights([256, 255, 254, 253, 251, 1]);
    assert.ok(isRounded);
    assert.ok(slots.reduce((a, b) => a + b) <= 1024);
    assert.ok(slots.every((n) => n >= 1));
  });

  test("more than 1,024 endpoints have a slot each, more than 8,192 are cut", () => {
    assert.equal(reduceWeights(Array.from({ length: 2000 }, () => 1)).slots.length, 2000);
    assert.equal(reduceWeights(Array.from({ length: 9000 }, () => 1)).leftOut, 808);
  });
});
