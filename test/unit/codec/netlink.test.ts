/** The netlink codec: what is written reads back, and no bytes whatever make the reader leave its buffer. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { blamedElement, encodeBatch } from "../../../src/codec/netlink/nftables/batch.ts";
import { ElementCountCollector } from "../../../src/codec/netlink/nftables/element-counts.ts";
import { ElementCollector } from "../../../src/codec/netlink/nftables/elements.ts";
import { writeStatements } from "../../../src/codec/netlink/nftables/expressions.ts";
import { elementShape, readSet, writeSet } from "../../../src/codec/netlink/nftables/sets.ts";
import {
  attributeText,
  NetlinkMalformed,
  readAttributes,
  readMessages,
} from "../../../src/codec/netlink/reader.ts";
import { NetlinkTooLarge, NetlinkWriter } from "../../../src/codec/netlink/writer.ts";
import type { NftElements, NftField, NftOp, NftSet, NftVerdict } from "../../../src/model/nftables.ts";

const FIELDS: readonly NftField[] = [
  "ip saddr",
  "ip daddr",
  "ip6 saddr",
  "ip6 daddr",
  "meta l4proto",
  "th sport",
  "th dport",
  "meta mark",
  "ip protocol",
  { numgenRandomModulus: 4 },
];
const field = fc.constantFrom(...FIELDS);
const fields = fc.array(field, { minLength: 1, maxLength: 4 });
const nftSet: fc.Arbitrary<NftSet> = fc.record(
  {
    name: fc.stringMatching(/^[a-z][a-z0-9_-]{0,30}$/),
    key: fields,
    data: fc.oneof(
      fc.constant("none" as const),
      fc.constant("verdict" as const),
      fc.array(field, { minLength: 1, maxLength: 2 }),
    ),
    flags: fc.subarray(["interval", "timeout", "dynamic"] as const),
    counter: fc.constant(true as const),
  },
  { requiredKeys: ["name", "key", "data", "flags"] },
);
const verdict: fc.Arbitrary<NftVerdict> = fc.oneof(
  fc.constantFrom<NftVerdict>({ kind: "accept" }, { kind: "drop" }, { kind: "return" }, { kind: "continue" }),
  fc.constantFrom<NftVerdict>(
    { kind: "goto", chain: "pick" },
    { kind: "jump", chain: "a-chain-of-twenty-nine-" },
  ),
);

/** Random elements of a set without equal or overlapping keys: ranges of one number each. */
function elementsOf(set: NftSet, seeds: readonly number[], verdicts: readonly NftVerdict[]): NftElements {
  const shape = elementShape(set);
  const distinct = [...new Set(seeds.map((seed) => seed & 0x7e))];
  const count = distinct.length;
  const keys = new Uint8Array(count * shape.keyBytes);
  distinct.forEach((seed, at) => {
    keys[at * shape.keyBytes] = seed;
  });
  const data = new Uint8Array(count * shape.dataBytes).map((_, at) => (at * 37) & 255);
  return {
    count,
    keys,
    ...(shape.interval === "none" ? {} : { keyEnds: keys.slice() }),
    ...(shape.dataBytes === 0 ? {} : { data }),
    ...(shape.verdicts
      ? { verdicts: distinct.map((_, at) => verdicts[at % verdicts.length] ?? { kind: "drop" }) }
      : {}),
  };
}

const TABLE = { family: "ip", name: "t" } as const;

function decode(set: NftSet, elements: NftElements): NftElements {
  const writer = new NetlinkWriter(64);
  const shapes = new Map([[set.name, elementShape(set)]]);
  encodeBatch(writer, TABLE, shapes, [{ op: "add-elements", set: set.name, elements }], 1);
  const collector = new ElementCollector(elementShape(set), 0);
  const messages = readMessages(writer.bytes, writer.length);
  for (const message of messages.slice(1, -1)) collector.add(writer.bytes, message.start + 4, message.end);
  return collector.elements();
}

suite("netlink codec", () => {
  test("a set's declaration reads back", () => {
    fc.assert(
      fc.property(nftSet, fc.option(fc.integer({ min: 1, max: 1 << 20 })), (set, size) => {
        const sized: NftSet = size === null ? set : { ...set, size };
        const writer = new NetlinkWriter(16);
        writeSet(writer, sized, 1);
        const read = readSet(writer.bytes, 0, writer.length);
        assert.deepEqual(
          { ...read, flags: read?.flags.toSorted() },
          { ...sized, flags: sized.flags.toSorted() },
        );
      }),
    );
  });

  test("elements read back, whatever the set", () => {
    fc.assert(
      fc.property(
        nftSet,
        fc.array(fc.nat(255), { maxLength: 40 }),
        fc.array(verdict, { minLength: 1, maxLength: 4 }),
        (set, seeds, verdicts) => {
          const elements = elementsOf(set, seeds, verdicts);
          const sortedByKey = elementShape(set).interval === "pair";
          const read = decode(set, elements);
          assert.equal(read.count, elements.count);
          if (!sortedByKey) assert.deepEqual(read, elements);
          else assert.deepEqual([...read.keys].sort(), [...elements.keys].sort());
        },
      ),
    );
  });

  test("what elements have counted, as a kernel shows it", () => {
    const writer = new NetlinkWriter(64);
    const list = writer.beginNest(3);
    for (const [key, packets] of [
      [7, 2n],
      [9, 2n ** 40n],
      [11, undefined],
    ] as const) {
      const element = writer.beginNest(1);
      const wrapped = writer.beginNest(1);
      writer.raw(1, Uint8Array.of(key, 0, 0, 0));
      writer.endNest(wrapped);
      const verdict = writer.beginNest(2);
      writer.raw(2, Uint8Array.of(1, 2, 3, 4));
      writer.endNest(verdict);
      if (packets !== undefined) {
        const expression = writer.beginNest(7);
        writer.text(1, "counter");
        const data = writer.beginNest(2);
        const number = Buffer.alloc(8);
        number.writeBigUInt64BE(99_999n);
        writer.raw(1, number);
        number.writeBigUInt64BE(packets);
        writer.raw(2, number);
        writer.endNest(data);
        writer.endNest(expression);
      }
      writer.endNest(element);
    }
    writer.endNest(list);
    const collector = new ElementCountCollector(4);
    collector.add(writer.bytes, 0, writer.length);
    assert.deepEqual(collector.counts(), {
      keys: Uint8Array.of(7, 0, 0, 0, 9, 0, 0, 0, 11, 0, 0, 0),
      packets: Float64Array.of(2, 2 ** 40, 0),
    });
    assert.throws(() => new ElementCountCollector(8).add(writer.bytes, 0, writer.length), NetlinkMalformed);
  });

  test("texts read back, also those that are not ASCII", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.nat(3), (text, type) => {
        const value = text.replaceAll("\0", "");
        const writer = new NetlinkWriter(16);
        writer.text(type, value);
        const [attribute] = readAttributes(writer.bytes, 0, writer.length);
        assert.ok(attribute !== undefined && attribute.type === type);
        assert.equal(attributeText(writer.bytes, attribute), value.toWellFormed());
      }),
    );
  });

  test("a key that comes twice is noticed", () => {
    const set: NftSet = { name: "s", key: ["ip daddr", "th dport"], data: "none", flags: [] };
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.nat(100_000), { minLength: 1, maxLength: 300 }),
        fc.boolean(),
        (numbers, twice) => {
          const all = twice ? [...numbers, ...numbers.slice(0, 1)] : numbers;
          const keys = new Uint8Array(all.length * 8);
          for (const [at, number] of all.entries()) new DataView(keys.buffer).setUint32(at * 8, number);
          const writer = new NetlinkWriter(64);
          const elements: NftElements = { count: all.length, keys };
          encodeBatch(
            writer,
            TABLE,
            new Map([["s", elementShape(set)]]),
            [{ op: "add-elements", set: "s", elements }],
            1,
          );
          const collector = new ElementCollector(elementShape(set), 0);
          const message = readMessages(writer.bytes, writer.length)[1];
          assert.ok(message !== undefined);
          collector.add(writer.bytes, message.start + 4, message.end);
          assert.equal(collector.hasDuplicates(), twice);
        },
      ),
    );
  });

  test("the last address ends an interval without an element behind it", () => {
    const set: NftSet = { name: "n", key: ["ip saddr"], data: "none", flags: ["interval"] };
    const elements: NftElements = {
      count: 2,
      keys: Uint8Array.of(0, 0, 0, 0, 255, 0, 0, 0),
      keyEnds: Uint8Array.of(9, 255, 255, 255, 255, 255, 255, 255),
    };
    assert.deepEqual(decode(set, elements), elements);
  });

  test("long lists are cut below 64 KiB and every message names its first element", () => {
    const set: NftSet = { name: "s", key: ["ip daddr", "th dport"], data: ["ip daddr"], flags: [] };
    const count = 5_000;
    const keys = new Uint8Array(count * 8);
    new DataView(keys.buffer).setUint32(8, 1);
    for (let at = 0; at < count; at++) new DataView(keys.buffer).setUint32(at * 8, at);
    const elements: NftElements = { count, keys, data: new Uint8Array(count * 4) };
    assert.deepEqual(decode(set, elements), elements);
    const writer = new NetlinkWriter(64);
    const shape = elementShape(set);
    const shapes = new Map([["s", shape]]);
    const layout = encodeBatch(writer, TABLE, shapes, [{ op: "add-elements", set: "s", elements }], 7);
    assert.ok(layout.start.length > 2);
    const messages = readMessages(writer.bytes, writer.length);
    layout.start.forEach((start, message) => {
      const list = readAttributes(writer.bytes, start + 20, messages[message + 1]?.end ?? 0).find(
        (a) => a.type === 3,
      );
      assert.ok(list !== undefined && list.end - list.start < 65_536);
      const blamed = blamedElement(writer.bytes, layout, message, list.start - start, shape);
      assert.equal(blamed, layout.firstElement[message]);
    });
  });

  test("only the last operation's last message asks for an acknowledgement; sequence numbers differ", () => {
    const ops: readonly NftOp[] = [
      { op: "add-table" },
      { op: "add-chain", chain: { name: "a" } },
      { op: "delete-chain", chain: "a" },
    ];
    const writer = new NetlinkWriter(64);
    encodeBatch(writer, TABLE, new Map(), ops, 10);
    const messages = readMessages(writer.bytes, writer.length);
    assert.deepEqual(
      messages.map((message) => message.sequence),
      [10, 11, 12, 13, 14],
    );
    assert.deepEqual(
      messages.map((message) => (message.flags & 4) !== 0),
      [false, false, false, true, false],
    );
  });

  test("arrays that do not fit the declaration are refused before anything is sent", () => {
    const shapes = new Map([["s", elementShape({ name: "s", key: ["ip daddr"], data: "none", flags: [] })]]);
    const wrong: NftElements = { count: 2, keys: new Uint8Array(7) };
    assert.throws(
      () =>
        encodeBatch(
          new NetlinkWriter(64),
          TABLE,
          shapes,
          [{ op: "add-elements", set: "s", elements: wrong }],
          1,
        ),
      RangeError,
    );
  });

  test("an attribute beyond 65,535 bytes is an error, not an overflow", () => {
    assert.throws(() => new NetlinkWriter(64).raw(1, new Uint8Array(70_000)), NetlinkTooLarge);
    const writer = new NetlinkWriter(64);
    const nest = writer.beginNest(1);
    for (let i = 0; i < 20; i++) writer.raw(1, new Uint8Array(4_000));
    assert.throws(() => writer.endNest(nest), NetlinkTooLarge);
  });

  test("a rule that needs more registers than there are is refused", () => {
    const many: NftField[] = ["ip6 saddr", "ip6 daddr", "ip6 saddr", "ip6 daddr", "th dport"];
    assert.throws(
      () =>
        writeStatements(new NetlinkWriter(64), 4, "ip6", [
          { kind: "lookup", fields: many, set: "s", negate: false },
        ]),
      RangeError,
    );
  });
});
