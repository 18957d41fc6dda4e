/** Bands and choices: KEP-3070 (cluster addresses), KEP-3668 (node ports); facts: kubernetes-api-contract.md 2.2. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import {
  addressBandSize,
  chooseOffset,
  portBandSize,
} from "../../../../src/control-plane/allocators/bands.ts";
import {
  addressAt,
  isUsable,
  offsetOf,
  parseServiceRange,
} from "../../../../src/control-plane/allocators/service-range.ts";
import { parseIp } from "../../../../src/model/ip.ts";

const SIZES = [
  { name: "/24", size: 2 ** 8, band: 16 },
  { name: "/20", size: 2 ** 12, band: 256 },
  { name: "/16", size: 2 ** 16, band: 256 },
  { name: "/12", size: 2 ** 20, band: 256 },
  { name: "/28", size: 16, band: 0 },
];

suite("lower band", () => {
  for (const { name, size, band } of SIZES) test(name, () => assert.equal(addressBandSize(size), band));
  test("node ports 30000-32767 keep 30000-30085", () => assert.equal(portBandSize(2768), 86));
});

const RANGES = [
  { range: "10.96.0.0/12", first: "10.96.0.1", tenth: "10.96.0.10", size: 2 ** 20 - 2 },
  { range: "10.0.0.0/30", first: "10.0.0.1", tenth: undefined, size: 2 },
  { range: "fd00:10:96::/112", first: "fd00:10:96::1", tenth: "fd00:10:96::a", size: 65_535 },
  { range: "fd00::/64", first: "fd00::1", tenth: "fd00::a", size: 2 ** 32 },
];

suite("addresses of a range", () => {
  for (const row of RANGES) {
    test(row.range, () => {
      const range = parseServiceRange(row.range);
      assert.ok(range);
      assert.equal(range.size, row.size);
      assert.equal(addressAt(range, 0), row.first);
      if (row.tenth !== undefined) assert.equal(addressAt(range, 9), row.tenth);
    });
  }
  test("network and broadcast addresses of IPv4 are not usable", () => {
    const range = parseServiceRange("10.0.0.0/24");
    assert.ok(range);
    const usable = ["10.0.0.0", "10.0.0.1", "10.0.0.254", "10.0.0.255", "10.0.1.1"].map((text) => {
      const ip = parseIp(text);
      return ip !== undefined && isUsable(range, ip);
    });
    assert.deepEqual(usable, [false, true, true, false, false]);
  });
  test("offset and address are inverse", () => {
    const range = parseServiceRange("fd00:10:96::/112");
    assert.ok(range);
    fc.assert(
      fc.property(fc.nat(range.size - 1), (offset) => offsetOf(range, addressAt(range, offset)) === offset),
    );
  });
});

/** Numbers over a set, with a seeded source of randomness. */
function numbers(size: number, bandSize: number, taken: Set<number>): Parameters<typeof chooseOffset>[0] {
  return {
    size,
    bandSize,
    isTaken: async (offset) => await Promise.resolve(taken.has(offset)),
    listTaken: async () => await Promise.resolve(new Set(taken)),
  };
}

suite("choosing", () => {
  test("never a taken number, always one while there is one, the lower band last", async () => {
    const size = fc.integer({ min: 1, max: 200 });
    await fc.assert(
      fc.asyncProperty(
        size,
        fc.integer({ min: 0, max: 60 }),
        fc.infiniteStream(fc.nat()),
        async (total, band, stream) => {
          const bandSize = Math.min(band, total);
          const random = (below: number): number => (stream.next().value as number) % below;
          const taken = new Set<number>();
          let lowerSeen = false;
          for (let count = 0; count < total; count++) {
            const offset = await chooseOffset(numbers(total, bandSize, taken), random);
            assert.ok(offset !== undefined && offset >= 0 && offset < total && !taken.has(offset));
            if (offset < bandSize) lowerSeen = true;
            else assert.equal(lowerSeen, false, "an upper number after a lower one");
            taken.add(offset);
          }
          assert.equal(await chooseOffset(numbers(total, bandSize, taken), random), undefined);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("a listing that shows a number as free is not believed", async () => {
    const stale = {
      ...numbers(4, 0, new Set([0, 1, 2, 3])),
      listTaken: async () => await Promise.resolve(new Set<number>()),
    };
    assert.equal(await chooseOffset(stale, () => 0), undefined);
  });
});
