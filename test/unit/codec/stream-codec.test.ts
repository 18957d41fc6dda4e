/** The node stream's codec: round trip, agreement with the code generated from nodestream.proto, skew, hostile bytes. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { decodeObject, decodeObjectKey } from "../../../src/codec/stream/decode-object.ts";
import {
  EndpointSliceSchema,
  NodeMessageSchema,
  ObjectSchema,
  ServerMessageSchema,
} from "../../../src/codec/stream/generated/nodestream_pb.ts";
import {
  decodeNodeMessage,
  encodeNodeMessage,
  type NodeMessage,
} from "../../../src/codec/stream/node-message.ts";
import {
  encodeBegin,
  encodeCommit,
  encodeRemove,
  encodeReportTaken,
  encodeUpsert,
  encodeWelcome,
  visitServerMessage,
} from "../../../src/codec/stream/server-message.ts";
import { WireWriter } from "../../../src/codec/stream/wire.ts";
import { NodeplaneError } from "../../../src/model/errors.ts";
import { type FeedObject, keyOf } from "../../../src/model/objects.ts";
import { anyObject } from "./arbitrary-objects.ts";

/** What a visitor saw, as plain values. */
function read(bytes: Uint8Array): unknown[] {
  const seen: unknown[] = [];
  visitServerMessage(bytes, {
    welcome: (welcome) => seen.push(["welcome", welcome]),
    begin: (begin) => seen.push(["begin", begin]),
    upsert: (within, start, end) =>
      seen.push(["upsert", decodeObject(within, start, end), decodeObjectKey(within, start, end)]),
    remove: (key) => seen.push(["remove", key]),
    commit: (commit) => seen.push(["commit", commit]),
    reportTaken: (sequence) => seen.push(["reportTaken", sequence]),
  });
  return seen;
}

const begin = {
  revision: 7,
  snapshot: true,
  authoritative: true,
  fromRevision: 3,
  changedAtMs: 1_700_000_000_000,
  epoch: "e",
};

suite("server messages", () => {
  test("every object comes back as it was, and its key alone too", () => {
    fc.assert(
      fc.property(anyObject, (object) => {
        assert.deepEqual(read(encodeUpsert(object)), [["upsert", object, keyOf(object)]]);
      }),
      { numRuns: 300 },
    );
  });

  test("fields put together are one message, read in order", () => {
    const object: FeedObject = {
      kind: "Namespace",
      meta: { namespace: "", name: "n", uid: "", creationTimestampMs: 0, labels: {}, annotations: {} },
    };
    const key = { kind: "Service", namespace: "a", name: "b" } as const;
    const welcome = { epoch: "e", revision: 2 ** 53 - 1, version: "1", unknownSets: ["X", ""] };
    const bytes = Buffer.concat([
      encodeWelcome(welcome),
      encodeBegin(begin),
      encodeUpsert(object),
      encodeRemove(key),
      encodeCommit({ revision: 7, leftOut: 1 }),
      encodeReportTaken(5),
    ]);
    assert.deepEqual(read(bytes), [
      ["welcome", welcome],
      ["begin", begin],
      ["upsert", object, keyOf(object)],
      ["remove", key],
      ["commit", { revision: 7, leftOut: 1 }],
      ["reportTaken", 5],
    ]);
  });

  test("what a visitor does not ask for is skipped", () => {
    const seen: string[] = [];
    const key = { kind: "Service", namespace: "a", name: "b" } as const;
    const welcome = encodeWelcome({ epoch: "e", revision: 1, version: "1", unknownSets: [] });
    const commit = encodeCommit({ revision: 7, leftOut: 1 });
    const parts = [
      welcome,
      encodeBegin(begin),
      encodeRemove(key),
      commit,
      encodeReportTaken(5),
      encodeRemove(key),
    ];
    visitServerMessage(Buffer.concat(parts), { remove: ({ name }) => seen.push(name) });
    visitServerMessage(Buffer.concat(parts), { commit: ({ revision }) => seen.push(`${revision}`) });
    assert.deepEqual(seen, ["b", "b", "7"]);
  });

  test("the generated code reads the same bytes and writes what we read", () => {
    fc.assert(
      fc.property(anyObject, (object) => {
        const theirs = fromBinary(ServerMessageSchema, encodeUpsert(object));
        assert.equal(theirs.$unknown, undefined);
        assert.equal(theirs.upsert[0]?.meta?.name, object.meta.name);
        assert.deepEqual(read(toBinary(ServerMessageSchema, theirs)), [["upsert", object, keyOf(object)]]);
      }),
      { numRuns: 150 },
    );
    const generated = fromBinary(ServerMessageSchema, encodeBegin(begin)).begin;
    assert.equal(generated?.changedAtMs, 1_700_000_000_000n);
    assert.equal(generated?.authoritative, true);
  });
});

suite("node messages", () => {
  const object = { kind: "Service", namespace: "a", name: "b" } as const;
  const rows: readonly NodeMessage[] = [
    {
      hello: {
        node: "n1",
        role: "agent",
        sets: ["Service", "Pod"],
        epoch: "e",
        revision: 9,
        credits: 8,
        version: "0.1",
      },
    },
    { credits: 300, received: 2 ** 40 },
    {
      programmed: { revision: 12, refused: [{ object, reason: "R", field: "spec.ports[0]", message: "m" }] },
    },
    { programmed: { revision: 13, refused: [] }, heartbeat: true },
    {
      report: {
        first: true,
        last: false,
        nodeJson: Buffer.from("{}"),
        podJson: [Buffer.from("[1]"), Buffer.from("")],
        eventJson: [Buffer.from("2")],
        sequence: 4,
      },
    },
    {},
  ];
  for (const message of rows)
    test(`${Object.keys(message).join(" and ")} comes back as it was, also through the generated code`, () => {
      const bytes = encodeNodeMessage(message);
      assert.deepEqual(decodeNodeMessage(bytes), message);
      const theirs = fromBinary(NodeMessageSchema, bytes);
      assert.equal(theirs.$unknown, undefined);
      assert.deepEqual(decodeNodeMessage(toBinary(NodeMessageSchema, theirs)), message);
    });
});

suite("one version newer", () => {
  test("unknown fields are skipped wherever they are", () => {
    fc.assert(
      fc.property(anyObject, (object) => {
        const message = fromBinary(ServerMessageSchema, encodeUpsert(object));
        const extra = [
          { no: 900, wireType: 0, data: Uint8Array.of(0xff, 0x01) },
          { no: 901, wireType: 2, data: Uint8Array.of(3, 1, 2, 3) },
          { no: 902, wireType: 5, data: Uint8Array.of(1, 2, 3, 4) },
          { no: 903, wireType: 1, data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) },
        ];
        const addTo = (value: unknown): void => {
          if (typeof value !== "object" || value === null || value instanceof Uint8Array) return;
          if ("$typeName" in value) Object.assign(value, { $unknown: extra });
          for (const [key, field] of Object.entries(value)) if (key !== "$unknown") addTo(field);
        };
        addTo(message);
        const bytes = toBinary(ServerMessageSchema, message);
        assert.ok(bytes.length > encodeUpsert(object).length + 40);
        assert.deepEqual(read(bytes), [["upsert", object, keyOf(object)]]);
      }),
      { numRuns: 100 },
    );
  });

  test("an object of an unknown kind, type, address type or protocol is skipped, not the message", () => {
    const meta = { name: "x", namespace: "n" };
    const unknownKind = create(ServerMessageSchema, { upsert: [{ meta }], commit: { revision: 1n } });
    assert.deepEqual(read(toBinary(ServerMessageSchema, unknownKind)), [
      ["upsert", undefined, undefined],
      ["commit", { revision: 1, leftOut: 0 }],
    ]);
    const newerType = create(ObjectSchema, { meta, object: { case: "service", value: { type: 9 } } });
    assert.equal(decodeObject(toBinary(ObjectSchema, newerType)), undefined);
    const value = create(EndpointSliceSchema, {
      addressBytes: 4,
      ports: [
        { protocol: 99, port: 1 },
        { protocol: 6, port: 2 },
      ],
    });
    const slice = decodeObject(
      toBinary(ObjectSchema, create(ObjectSchema, { meta, object: { case: "endpointSlice", value } })),
    );
    assert.ok(slice?.kind === "EndpointSlice");
    assert.deepEqual(slice.ports, [{ name: "", protocol: "TCP", port: 2 }]);
    value.addressBytes = 8;
    const newer = create(ObjectSchema, { meta, object: { case: "endpointSlice", value } });
    assert.equal(decodeObject(toBinary(ObjectSchema, newer)), undefined);
  });

  test("a remove of an unknown kind and a node message of an unknown sort are ignored", () => {
    const bytes = toBinary(
      ServerMessageSchema,
      create(ServerMessageSchema, { remove: [{ kind: "Gateway", name: "g" }] }),
    );
    assert.deepEqual(read(bytes), []);
    const writer = new WireWriter();
    writer.text(50, "new");
    assert.deepEqual(decodeNodeMessage(writer.finish()), {});
  });
});

suite("hostile bytes", () => {
  const tryBoth = (bytes: Uint8Array): void => {
    for (const decode of [read, decodeNodeMessage])
      try {
        decode(bytes);
      } catch (error) {
        if (!(error instanceof NodeplaneError) || error.code !== "STREAM_MALFORMED") throw error;
      }
  };

  test("any truncation and mutation gives a message or the coded error", () => {
    fc.assert(
      fc.property(
        fc.array(anyObject, { minLength: 1, maxLength: 3 }),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 6 }),
        fc.nat(),
        (objects, mutations, cut) => {
          const bytes = Buffer.concat([
            encodeBegin(begin),
            ...objects.map(encodeUpsert),
            encodeCommit({ revision: 1, leftOut: 0 }),
          ]);
          tryBoth(bytes.subarray(0, cut % (bytes.length + 1)));
          for (const [at, value] of mutations) bytes[at % bytes.length] = value;
          tryBoth(bytes);
        },
      ),
      { numRuns: 1500 },
    );
  });

  test("random bytes", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), tryBoth), { numRuns: 3000 });
  });

  const rows: readonly (readonly [string, readonly number[]])[] = [
    ["a length beyond the message", [0x1a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]],
    ["a length that runs over an embedded message", [0x12, 0x02, 0x32, 0x7f]],
    ["a number without end", [0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]],
    ["a revision above 2^53", [0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]],
    ["field number 0", [0x02, 0x00]],
    ["a group", [0x0b]],
    ["text where a number belongs", [0x32, 0x01, 0x01]],
    ["a number where a message belongs", [0x10, 0x01]],
    ["a cut fixed64 of an unknown field", [0xf9, 0x01, 1, 2]],
  ];
  for (const [name, bytes] of rows)
    test(`${name} is refused`, () => {
      assert.throws(() => read(Uint8Array.from(bytes)), { code: "STREAM_MALFORMED" });
    });

  test("a port above 65535, a weight above 256 and a prefix above 32 are refused", () => {
    const meta = { name: "x" };
    const bad = [
      create(ObjectSchema, {
        meta,
        object: { case: "service", value: { ports: [{ protocol: 6, port: 70_000 }] } },
      }),
      create(ObjectSchema, {
        meta,
        object: {
          case: "serviceCidr",
          value: { cidrs: [{ address: Uint8Array.of(1, 2, 3, 4), prefixBits: 33 }] },
        },
      }),
      create(ObjectSchema, {
        meta,
        object: {
          case: "endpointSlice",
          value: {
            addressBytes: 4,
            endpoints: [{ addresses: Uint8Array.of(1, 2, 3, 4), weightPlusOne: 258 }],
          },
        },
      }),
      create(ObjectSchema, {
        meta,
        object: {
          case: "endpointSlice",
          value: { addressBytes: 4, endpoints: [{ addresses: Uint8Array.of(1, 2, 3, 4), node: 1 }] },
        },
      }),
    ];
    for (const object of bad)
      assert.throws(() => decodeObject(toBinary(ObjectSchema, object)), { code: "STREAM_MALFORMED" });
  });
});
