/**
 * Layer control-plane. Protobuf bodies of Kubernetes clients to JSON and back, by schema. The wire form is that of
 * gogo-generated proto2: fields that are no pointers in Go are always written, also when empty, so zeros are dropped
 * here unless the schema says `pointer`. Embedded structs are sub-messages whose fields JSON shows in the parent.
 */
import { Buffer } from "node:buffer";
import { isJsonObject, type Json, type JsonObject } from "./json.ts";
import { ProtobufError, WireReader, WireWriter } from "./protobuf-wire.ts";
import type { Field, Message, Scalar, Type } from "./schema.ts";

const MAGIC = Buffer.from([0x6b, 0x38, 0x73, 0]);
const MAX_DEPTH = 100;

export interface Envelope {
  readonly apiVersion: string;
  readonly kind: string;
  /** The message itself. */
  readonly raw: Uint8Array;
}

/** Opens `k8s\0` + runtime.Unknown. @throws {ProtobufError} */
export function openEnvelope(body: Uint8Array): Envelope {
  if (body.length < 4 || !MAGIC.equals(body.subarray(0, 4))) {
    throw new ProtobufError(
      "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
    );
  }
  const envelope = { apiVersion: "", kind: "", raw: new Uint8Array() as Uint8Array };
  const reader = new WireReader(body.subarray(4));
  for (let tag = reader.tag(); tag !== undefined; tag = reader.tag()) {
    if (tag.number === 2) envelope.raw = reader.bytes(tag);
    else if (tag.number === 1) {
      const inner = new WireReader(reader.bytes(tag));
      for (let part = inner.tag(); part !== undefined; part = inner.tag()) {
        if (part.number === 1) envelope.apiVersion = utf8(inner.bytes(part));
        else if (part.number === 2) envelope.kind = utf8(inner.bytes(part));
        else inner.skip(part);
      }
    } else reader.skip(tag);
  }
  return envelope;
}

/** The inverse of {@link openEnvelope}. */
export function sealEnvelope({ apiVersion, kind, raw }: Envelope): Uint8Array {
  const type = new WireWriter();
  type.bytes(1, Buffer.from(apiVersion));
  type.bytes(2, Buffer.from(kind));
  const unknown = new WireWriter();
  unknown.bytes(1, type.finish());
  unknown.bytes(2, raw);
  unknown.bytes(3, new Uint8Array());
  unknown.bytes(4, new Uint8Array());
  return Buffer.concat([MAGIC, unknown.finish()]);
}

/** Fields that the schema does not have are skipped. @throws {ProtobufError} for bytes that are no such message */
export function decodeMessage(schema: Message, data: Uint8Array, depth = 0): JsonObject {
  if (depth > MAX_DEPTH) throw new ProtobufError(`nested deeper than ${MAX_DEPTH} levels`);
  const byNumber = new Map(Object.entries(schema.fields).map((entry) => [entry[1].number, entry]));
  const result: JsonObject = {};
  const reader = new WireReader(data);
  for (let tag = reader.tag(); tag !== undefined; tag = reader.tag()) {
    const found = byNumber.get(tag.number);
    if (found === undefined) reader.skip(tag);
    else decodeField(found[0], found[1], { result, reader, wire: tag.wire, depth });
  }
  return result;
}

interface Decoding {
  readonly result: JsonObject;
  readonly reader: WireReader;
  readonly wire: number;
  readonly depth: number;
}

function decodeField(name: string, field: Field, { result, reader, wire, depth }: Decoding): void {
  const type = field.value;
  const tag = { number: field.number, wire };
  if (type.type === "list") {
    const held = result[name];
    const items: Json[] = Array.isArray(held) ? held : [];
    result[name] = items;
    if (isVarint(type.of) && wire === 2) {
      const packed = new WireReader(reader.bytes(tag));
      while (!packed.done) items.push(decodeScalar(type.of.type as Scalar, packed, { number: 0, wire: 0 }));
    } else items.push(decodeValue(type.of, reader, tag, depth));
  } else if (type.type === "map") {
    const held = result[name];
    const object: JsonObject = isJsonObject(held) ? held : {};
    result[name] = object;
    const [key, value] = decodeEntry(type.of, reader.bytes(tag), depth);
    if (key === "__proto__") throw new ProtobufError('the key "__proto__" is not allowed');
    object[key] = value;
  } else if (type.type === "message") {
    const inner = decodeMessage(type.message(), reader.bytes(tag), depth + 1);
    if (field.inline === true) Object.assign(result, inner);
    else if (field.pointer === true || Object.keys(inner).length > 0) result[name] = inner;
  } else {
    const value = decodeScalar(type.type, reader, tag);
    if (value === null || (field.pointer !== true && isZero(value))) delete result[name];
    else result[name] = value;
  }
}

function decodeValue(
  type: Type,
  reader: WireReader,
  tag: { number: number; wire: number },
  depth: number,
): Json {
  if (type.type === "message") return decodeMessage(type.message(), reader.bytes(tag), depth + 1);
  if (type.type === "list" || type.type === "map") {
    // A list inside a list or map is a wrapper message with the items in field 1 (ExtraValue, Verbs).
    return decodeMessage(wrapper(type), reader.bytes(tag), depth + 1)["items"] ?? [];
  }
  return decodeScalar(type.type, reader, tag);
}

const wrapper = (value: Type): Message => {
  return { name: "items", description: "", fields: { items: { number: 1, value, description: "" } } };
};

function decodeEntry(of: Type, data: Uint8Array, depth: number): [string, Json] {
  let key = "";
  let value: Json = of.type === "message" || of.type === "map" ? {} : of.type === "list" ? [] : "";
  const reader = new WireReader(data);
  for (let tag = reader.tag(); tag !== undefined; tag = reader.tag()) {
    if (tag.number === 1) key = utf8(reader.bytes(tag));
    else if (tag.number === 2) value = decodeValue(of, reader, tag, depth);
    else reader.skip(tag);
  }
  return [key, value];
}

function decodeScalar(type: Scalar, reader: WireReader, tag: { number: number; wire: number }): Json {
  switch (type) {
    case "bool":
      return reader.varint(tag) !== 0n;
    case "int32":
    case "int64":
      return Number(BigInt.asIntN(64, reader.varint(tag)));
    case "double":
      return reader.double(tag);
    case "string":
      return utf8(reader.bytes(tag));
    case "bytes":
      return Buffer.from(reader.bytes(tag)).toString("base64");
    case "time":
    case "microTime": {
      const [seconds, nanos] = integers(reader.bytes(tag));
      return seconds === undefined ? null : formatTime(seconds, nanos ?? 0, type === "microTime");
    }
    case "intOrString":
      return decodeIntOrString(reader.bytes(tag));
    case "quantity":
      return innerText(reader.bytes(tag));
    case "any": {
      const inner = innerText(reader.bytes(tag));
      if (inner === "") return null;
      try {
        return JSON.parse(inner) as Json;
      } catch {
        throw new ProtobufError("an embedded object is no JSON");
      }
    }
  }
}

/** Varint fields 1 and 2 of a small message. */
function integers(data: Uint8Array): [number | undefined, number | undefined] {
  const found: [number | undefined, number | undefined] = [undefined, undefined];
  const reader = new WireReader(data);
  for (let tag = reader.tag(); tag !== undefined; tag = reader.tag()) {
    if (tag.number === 1) found[0] = Number(BigInt.asIntN(64, reader.varint(tag)));
    else if (tag.number === 2) found[1] = Number(BigInt.asIntN(64, reader.varint(tag)));
    else reader.skip(tag);
  }
  return found;
}

function decodeIntOrString(data: Uint8Array): Json {
  let isText = false;
  let number = 0;
  let string = "";
  const reader = new WireReader(data);
  for (let tag = reader.tag(); tag !== undefined; tag = reader.tag()) {
    if (tag.number === 1) isText = reader.varint(tag) === 1n;
    else if (tag.number === 2) number = Number(BigInt.asIntN(64, reader.varint(tag)));
    else if (tag.number === 3) string = utf8(reader.bytes(tag));
    else reader.skip(tag);
  }
  return isText ? string : number;
}

function innerText(data: Uint8Array): string {
  const reader = new WireReader(data);
  let text = "";
  for (let tag = reader.tag(); tag !== undefined; tag = reader.tag()) {
    if (tag.number === 1) text = utf8(reader.bytes(tag));
    else reader.skip(tag);
  }
  return text;
}

/** Pointer fields and those that are set; the reader cannot tell the difference from a gogo encoder. */
export function encodeMessage(schema: Message, value: JsonObject): Uint8Array {
  const writer = new WireWriter();
  for (const [name, field] of Object.entries(schema.fields)) {
    if (field.inline === true && field.value.type === "message") {
      writer.bytes(field.number, encodeMessage(field.value.message(), value));
      continue;
    }
    const held = value[name];
    if (held === undefined || held === null) continue;
    encodeField(field.value, field.number, held, writer);
  }
  return writer.finish();
}

function encodeField(type: Type, number: number, value: Json, writer: WireWriter): void {
  if (type.type === "list") {
    for (const item of Array.isArray(value) ? value : []) encodeValue(type.of, number, item, writer);
  } else if (type.type === "map") {
    for (const [key, item] of Object.entries(isJsonObject(value) ? value : {})) {
      const entry = new WireWriter();
      entry.bytes(1, Buffer.from(key));
      if (item !== undefined) encodeValue(type.of, 2, item, entry);
      writer.bytes(number, entry.finish());
    }
  } else encodeValue(type, number, value, writer);
}

function encodeValue(type: Type, number: number, value: Json, writer: WireWriter): void {
  const text = typeof value === "string" ? value : "";
  switch (type.type) {
    case "message":
      writer.bytes(number, encodeMessage(type.message(), isJsonObject(value) ? value : {}));
      break;
    case "list":
    case "map":
      writer.bytes(number, encodeMessage(wrapper(type), { items: value }));
      break;
    case "bool":
      writer.varint(number, value === true ? 1n : 0n);
      break;
    case "int32":
    case "int64":
      writer.varint(number, BigInt(typeof value === "number" ? value : 0));
      break;
    case "double":
      writer.double(number, typeof value === "number" ? value : 0);
      break;
    case "string":
      writer.bytes(number, Buffer.from(text));
      break;
    case "bytes":
      writer.bytes(number, Buffer.from(text, "base64"));
      break;
    case "time":
    case "microTime":
      writer.bytes(number, encodeTime(text));
      break;
    case "intOrString":
      writer.bytes(number, encodeIntOrString(value));
      break;
    case "quantity":
      writer.bytes(number, wrapText(text));
      break;
    case "any":
      writer.bytes(number, wrapText(JSON.stringify(value)));
      break;
  }
}

function wrapText(text: string): Uint8Array {
  const writer = new WireWriter();
  writer.bytes(1, Buffer.from(text));
  return writer.finish();
}

function encodeIntOrString(value: Json): Uint8Array {
  const writer = new WireWriter();
  writer.varint(1, typeof value === "string" ? 1n : 0n);
  writer.varint(2, BigInt(typeof value === "number" ? value : 0));
  writer.bytes(3, Buffer.from(typeof value === "string" ? value : ""));
  return writer.finish();
}

function encodeTime(text: string): Uint8Array {
  const writer = new WireWriter();
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) return writer.finish();
  const fraction = /\.(\d+)/.exec(text)?.[1] ?? "0";
  writer.varint(1, BigInt(Math.floor(ms / 1000)));
  writer.varint(2, BigInt(fraction.slice(0, 9).padEnd(9, "0")));
  return writer.finish();
}

function formatTime(seconds: number, nanos: number, micro: boolean): string {
  const ms = seconds * 1000;
  if (Math.abs(ms) > 8.64e15) throw new ProtobufError(`time of ${seconds} seconds is out of range`);
  const text = new Date(ms).toISOString().slice(0, -5);
  const fraction = String(Math.floor(nanos / 1000)).padStart(6, "0");
  return micro ? `${text}.${fraction}Z` : `${text}Z`;
}

const utf8 = (data: Uint8Array): string =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("utf8");
const isZero = (value: Json): boolean => value === "" || value === 0 || value === false;
const isVarint = (type: Type): boolean =>
  type.type === "int32" || type.type === "int64" || type.type === "bool";
