/** Protobuf bodies of every kind: round trip by property, the byte forms that clients send, damaged bytes. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { KINDS } from "../../../src/control-plane/kinds/index.ts";
import { type Json, type JsonObject, sameJson } from "../../../src/control-plane/registry/json.ts";
import {
  decodeMessage,
  encodeMessage,
  openEnvelope,
  sealEnvelope,
} from "../../../src/control-plane/registry/protobuf.ts";
import { ProtobufError, WireWriter } from "../../../src/control-plane/registry/protobuf-wire.ts";
import { jsonFields, type Message, type Type } from "../../../src/control-plane/registry/schema.ts";
import { messageOf } from "./schema-values.ts";
import { WIDGET } from "./widget.ts";

/** As decoding would: messages that are no pointers and hold nothing are not there. */
function normal(message: Message, value: JsonObject): JsonObject {
  const result: JsonObject = {};
  for (const [name, field] of jsonFields(message)) {
    const held = value[name];
    if (held === undefined) continue;
    const inner = normalValue(field.value, held);
    const empty = field.value.type === "message" && Object.keys(inner as JsonObject).length === 0;
    if (!empty || field.pointer === true) result[name] = inner;
  }
  return result;
}

function normalValue(type: Type, value: Json): Json {
  if (type.type === "message") return normal(type.message(), value as JsonObject);
  if (type.type === "list") return (value as Json[]).map((item) => normalValue(type.of, item));
  if (type.type === "map") {
    return Object.fromEntries(
      Object.entries(value as JsonObject).map(([key, item]) => [key, normalValue(type.of, item ?? null)]),
    );
  }
  return value;
}

suite("protobuf round trip", () => {
  for (const kind of [...KINDS, WIDGET]) {
    test(`${kind.kind} of ${kind.group === "" ? "core" : kind.group}`, () => {
      fc.assert(
        fc.property(messageOf(kind.schema, 4), (value) => {
          const want = normal(kind.schema, value);
          const back = decodeMessage(kind.schema, encodeMessage(kind.schema, want));
          assert.ok(sameJson(back, want), JSON.stringify({ want, back }));
        }),
        { numRuns: 60 },
      );
    });
  }
});

test("field numbers of a message are unique", () => {
  const seen = new Set<Message>();
  const check = (message: Message): void => {
    if (seen.has(message)) return;
    seen.add(message);
    const numbers = Object.values(message.fields).map(({ number }) => number);
    assert.equal(new Set(numbers).size, numbers.length, message.name);
    for (const { value } of Object.values(message.fields)) {
      const inner = value.type === "list" || value.type === "map" ? value.of : value;
      if (inner.type === "message") check(inner.message());
    }
  };
  for (const kind of [...KINDS, WIDGET]) check(kind.schema);
});

test("zeros that a gogo encoder always writes are dropped, pointers are kept", () => {
  const spec = new WireWriter();
  spec.varint(1, 0n);
  spec.bytes(2, Buffer.alloc(0));
  const widget = new WireWriter();
  widget.bytes(1, Buffer.alloc(0));
  widget.bytes(2, spec.finish());
  widget.bytes(3, Buffer.alloc(0));
  widget.bytes(77, Buffer.from("a field of a newer client"));
  assert.deepEqual(decodeMessage(WIDGET.schema, widget.finish()), { spec: { replicas: 0 } });
});

test("the envelope carries type and bytes", () => {
  const envelope = { apiVersion: "example.io/v1", kind: "Widget", raw: Uint8Array.from([10, 0]) };
  const opened = openEnvelope(sealEnvelope(envelope));
  assert.equal(opened.apiVersion, "example.io/v1");
  assert.equal(opened.kind, "Widget");
  assert.deepEqual([...opened.raw], [10, 0]);
});

test("damaged bytes are refused, never misread as a crash", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      for (const read of [() => decodeMessage(WIDGET.schema, bytes), () => openEnvelope(bytes)]) {
        try {
          read();
        } catch (error) {
          assert.ok(error instanceof ProtobufError, String(error));
        }
      }
    }),
    { numRuns: 2000 },
  );
});
