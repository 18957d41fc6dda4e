/** What is sent to ctnetlink: above all, never a DELETE that the kernel would take as "empty the table". */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Flow } from "../../../src/codec/netlink/conntrack/flow.ts";
import {
  encodeFlowDelete,
  encodeFlowDump,
  FlowNotExact,
  readFlow,
} from "../../../src/codec/netlink/conntrack/flow.ts";
import { attributeMap, NetlinkMalformed, readMessages } from "../../../src/codec/netlink/reader.ts";
import { NetlinkWriter } from "../../../src/codec/netlink/writer.ts";

const DELETE = 0x102;

function bytes(max: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength: 0, maxLength: max });
}

const tuple = fc.record({
  source: fc.oneof(bytes(17), fc.uint8Array({ minLength: 4, maxLength: 4 })),
  destination: fc.oneof(bytes(17), fc.uint8Array({ minLength: 4, maxLength: 4 })),
  protocol: fc.constantFrom(0, 6, 17, 132, 300),
  sourcePort: fc.constantFrom(0, 1, 53, 65_535, 65_536, Number.NaN),
  destinationPort: fc.constantFrom(0, 53, 65_535),
});

test("a DELETE always carries a whole original tuple, or is not written at all", () => {
  let written = 0;
  fc.assert(
    fc.property(tuple, fc.constantFrom("ip" as const, "ip6" as const), fc.nat(), (original, family, id) => {
      const flow: Flow = { family, original, reply: original, status: 0, id, zone: 0 };
      const writer = new NetlinkWriter(64);
      try {
        encodeFlowDelete(writer, flow, 7);
      } catch (error) {
        assert.ok(error instanceof FlowNotExact);
        assert.equal(writer.length, 0);
        return;
      }
      written++;
      const [message] = readMessages(writer.bytes, writer.length);
      assert.ok(message !== undefined && message.type === DELETE);
      const parts = attributeMap(writer.bytes, message.start + 4, message.end);
      const found = parts.get(1);
      assert.ok(found !== undefined, "CTA_TUPLE_ORIG");
      const inner = attributeMap(writer.bytes, found.start, found.end);
      const ip = inner.get(1);
      const proto = inner.get(2);
      assert.ok(ip !== undefined && proto !== undefined);
      assert.equal(attributeMap(writer.bytes, ip.start, ip.end).size, 2);
      assert.equal(attributeMap(writer.bytes, proto.start, proto.end).size, 3);
      assert.ok(parts.has(12), "CTA_ID");
    }),
    { numRuns: 2000 },
  );
  assert.ok(written > 10, `${written} written`);
});

test("a dump asks for one protocol of one family, and deletes nothing", () => {
  const writer = new NetlinkWriter();
  encodeFlowDump(writer, "ip6", 17, 1);
  const [message] = readMessages(writer.bytes, writer.length);
  assert.equal(message?.type, 0x101);
  assert.equal(writer.bytes[message?.start ?? 0], 10);
});

test("damaged entries are refused, not misread", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (input) => {
      try {
        readFlow(input, 0, input.length, "ip");
      } catch (error) {
        assert.ok(error instanceof NetlinkMalformed);
      }
    }),
  );
});
