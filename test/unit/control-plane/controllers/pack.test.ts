/** Packing endpoints into slices: laws, and few writes (facts: kubernetes-api-contract.md 2.4). */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import type { SliceEndpoint } from "../../../../src/control-plane/controllers/endpoint-slices/desired.ts";
import {
  type ExistingSlice,
  packSlices,
} from "../../../../src/control-plane/controllers/endpoint-slices/pack.ts";
import type { Json } from "../../../../src/control-plane/registry/json.ts";
import type { IpAddress } from "../../../../src/model/ip.ts";

const address = (number: number): IpAddress => `10.0.${number >> 8}.${number & 255}` as IpAddress;
const endpoint = (number: number, ready = true): SliceEndpoint => ({
  addresses: [address(number)],
  conditions: { ready, serving: ready, terminating: false },
});
const desiredOf = (numbers: readonly number[]): Map<IpAddress, SliceEndpoint> =>
  new Map(numbers.map((number) => [address(number), endpoint(number)]));
const slice = (name: string, numbers: readonly number[]): ExistingSlice => ({
  name,
  endpoints: numbers.map((number) => endpoint(number) as unknown as Json),
});
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** The slices after the plan has been carried out. */
function apply(existing: readonly ExistingSlice[], packed: ReturnType<typeof packSlices>): ExistingSlice[] {
  const kept = existing
    .filter(({ name }) => !packed.remove.includes(name))
    .map((one) => ({ ...one, endpoints: (packed.update.get(one.name) ?? one.endpoints) as readonly Json[] }));
  const made = packed.create.map((endpoints, index) => ({
    name: `new${index}`,
    endpoints: endpoints as unknown as readonly Json[],
  }));
  return [...kept, ...made];
}

test("law: afterwards every desired endpoint is in exactly one slice, no slice is over its limit or empty; again writes nothing", () => {
  const numbers = fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { maxLength: 40 });
  const slices = fc.array(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 12 }), { maxLength: 6 });
  fc.assert(
    fc.property(numbers, slices, (wanted, before) => {
      const max = 10;
      const existing = before.map((list, index) => slice(`s${index}`, list));
      const desired = desiredOf(wanted);
      const after = apply(existing, packSlices(desired, existing, max));
      const all = after.flatMap(({ endpoints }) =>
        endpoints.map((one) => (one as unknown as SliceEndpoint).addresses[0]),
      );
      assert.deepEqual(all.toSorted(), [...desired.keys()].toSorted());
      assert.ok(after.every(({ endpoints }) => endpoints.length > 0 && endpoints.length <= max));
      const again = packSlices(desired, after, max);
      assert.deepEqual([again.create, [...again.update], again.remove], [[], [], []]);
    }),
  );
});

suite("few writes", () => {
  const rows = [
    {
      name: "one more goes into the fullest slice with room",
      before: [slice("a", range(0, 100)), slice("b", range(100, 150)), slice("c", range(150, 160))],
      wanted: range(0, 161),
      update: ["b"],
      create: 0,
      remove: [],
    },
    {
      name: "one more goes where something is written anyway",
      before: [slice("a", range(0, 99)), slice("b", range(100, 150))],
      wanted: [...range(0, 99), ...range(101, 151)],
      update: ["b"],
      create: 0,
      remove: [],
    },
    {
      name: "a full slice stays and a new one is made",
      before: [slice("a", range(0, 100))],
      wanted: range(0, 101),
      update: [],
      create: 1,
      remove: [],
    },
    {
      name: "what is left of two slices is not moved together",
      before: [slice("a", range(0, 100)), slice("b", range(100, 200))],
      wanted: [...range(0, 50), ...range(150, 200)],
      update: ["a", "b"],
      create: 0,
      remove: [],
    },
    {
      name: "an emptied slice goes",
      before: [slice("a", [1]), slice("b", [2])],
      wanted: [2],
      update: [],
      create: 0,
      remove: ["a"],
    },
  ];
  for (const row of rows) {
    test(row.name, () => {
      const packed = packSlices(desiredOf(row.wanted), row.before);
      assert.deepEqual(
        [[...packed.update.keys()].toSorted(), packed.create.length, packed.remove],
        [row.update, row.create, row.remove],
      );
    });
  }
  test("a changed condition writes its slice alone", () => {
    const desired = desiredOf(range(0, 250));
    desired.set(address(120), endpoint(120, false));
    const before = [slice("a", range(0, 100)), slice("b", range(100, 200)), slice("c", range(200, 250))];
    assert.deepEqual([...packSlices(desired, before).update.keys()], ["b"]);
  });
});
