/** The netlink reader with bytes that no kernel sends: nothing makes it leave its buffer, or throw anything but its own error. */
import { suite, test } from "node:test";
import fc from "fast-check";
import { encodeBatch } from "../../../src/codec/netlink/nftables/batch.ts";
import { canonicalExpressions } from "../../../src/codec/netlink/nftables/canonical.ts";
import { ElementCountCollector } from "../../../src/codec/netlink/nftables/element-counts.ts";
import { ElementCollector } from "../../../src/codec/netlink/nftables/elements.ts";
import { readChain, readRule } from "../../../src/codec/netlink/nftables/objects.ts";
import { readSet } from "../../../src/codec/netlink/nftables/sets.ts";
import { NetlinkMalformed, readError, readMessages } from "../../../src/codec/netlink/reader.ts";
import { NetlinkWriter } from "../../../src/codec/netlink/writer.ts";
import type { NftSet } from "../../../src/model/nftables.ts";

/** Calls that take bytes from a socket. */
const READERS: readonly ((bytes: Uint8Array) => unknown)[] = [
  (bytes) => readMessages(bytes, bytes.length).map((message) => readError(bytes, message)),
  (bytes) => readSet(bytes, 0, bytes.length),
  (bytes) => new ElementCountCollector(12).add(bytes, 0, bytes.length),
  (bytes) => readChain(bytes, 0, bytes.length, "t"),
  (bytes) => readRule(bytes, 0, bytes.length, "t"),
  (bytes) => canonicalExpressions(bytes, 0, bytes.length),
  (bytes) => {
    const collector = new ElementCollector(
      { keyBytes: 12, dataBytes: 8, verdicts: false, interval: "range" },
      0,
    );
    collector.add(bytes, 0, bytes.length);
    return collector.elements();
  },
  (bytes) => {
    const collector = new ElementCollector(
      { keyBytes: 4, dataBytes: 0, verdicts: true, interval: "pair" },
      0,
    );
    collector.add(bytes, 0, bytes.length);
    return collector.elements();
  },
];

function survives(bytes: Uint8Array): void {
  for (const read of READERS) {
    try {
      read(bytes);
    } catch (error) {
      if (!(error instanceof NetlinkMalformed)) throw error;
    }
  }
}

function sample(): Uint8Array {
  const writer = new NetlinkWriter(64);
  const set: NftSet = {
    name: "m",
    key: ["ip daddr", "meta l4proto", "th dport"],
    data: ["ip daddr", "th dport"],
    flags: [],
  };
  encodeBatch(
    writer,
    { family: "ip", name: "t" },
    new Map(),
    [
      { op: "add-set", set },
      {
        op: "add-elements",
        set: "m",
        elements: { count: 2, keys: new Uint8Array(24).map((_, i) => i), data: new Uint8Array(16) },
      },
      {
        op: "add-rule",
        rule: {
          chain: "c",
          comment: "x",
          statements: [{ kind: "counter" }, { kind: "verdict", verdict: { kind: "goto", chain: "d" } }],
        },
      },
    ],
    1,
  );
  return writer.bytes.slice(0, writer.length);
}

suite("netlink reader with damaged bytes", () => {
  test("every truncation", () => {
    const whole = sample();
    for (let length = 0; length <= whole.length; length++) {
      survives(whole.slice(0, length));
      for (const message of [20, 40, 64, 100, 200]) survives(whole.slice(message, length));
    }
  });

  test("random bytes and random changes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), survives));
    const whole = sample();
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(120), (at, value, from) => {
        const bytes = whole.slice();
        bytes[at] = value;
        survives(bytes.slice(from));
        for (const message of [0, 20, 40]) survives(bytes.slice(message));
      }),
      { numRuns: 500 },
    );
  });
});
