/**
 * Layer codec. Messages from a node to the server. Pure. Every list is bounded while it is read.
 * @throws {NodeplaneError} STREAM_MALFORMED from {@link decodeNodeMessage}
 */
import type { Buffer } from "node:buffer";
import type { ObjectProblem } from "../../model/objects.ts";
import { readKey, writeKey } from "./server-message.ts";
import { malformed, WireReader, WireWriter } from "./wire.ts";

export type NodeRole = "agent" | "dns";

export interface Hello {
  readonly node: string;
  readonly role: string;
  readonly sets: readonly string[];
  readonly epoch: string;
  readonly revision: number;
  readonly credits: number;
  readonly version: string;
}

/** A piece of a report; JSON documents as UTF-8 bytes. */
export interface ReportPart {
  readonly first: boolean;
  readonly last: boolean;
  readonly nodeJson: Uint8Array;
  readonly podJson: readonly Uint8Array[];
  readonly eventJson: readonly Uint8Array[];
  readonly sequence: number;
}

export type NodeMessage =
  | { readonly kind: "hello"; readonly hello: Hello }
  | { readonly kind: "credits"; readonly credits: number }
  | { readonly kind: "received"; readonly revision: number }
  | { readonly kind: "programmed"; readonly revision: number; readonly refused: readonly ObjectProblem[] }
  | { readonly kind: "report"; readonly part: ReportPart }
  | { readonly kind: "heartbeat" }
  /** Of a newer version: to be ignored. */
  | { readonly kind: "unknown" };

const MAX_SETS = 100;
const MAX_REFUSED = 10_000;
const MAX_DOCUMENTS = 10_000;
const NO_BYTES = new Uint8Array(0);

const writer = new WireWriter(4096);

/** Bytes of a NodeMessage. */
export function encodeNodeMessage(message: Exclude<NodeMessage, { kind: "unknown" }>): Buffer {
  writer.reset();
  switch (message.kind) {
    case "hello":
      writeHello(message.hello);
      break;
    case "credits":
      writer.number(2, message.credits);
      break;
    case "received":
      writer.number(3, message.revision);
      break;
    case "programmed": {
      const start = writer.begin(4);
      writer.number(1, message.revision);
      for (const problem of message.refused) writeNack(problem);
      writer.end(start);
      break;
    }
    case "report":
      writeReport(message.part);
      break;
    case "heartbeat":
      writer.end(writer.begin(6));
      break;
  }
  return writer.finish();
}

function writeHello(hello: Hello): void {
  const start = writer.begin(1);
  writer.text(1, hello.node);
  writer.text(2, hello.role);
  for (const set of hello.sets) writer.item(3, set);
  writer.text(4, hello.epoch);
  writer.number(5, hello.revision);
  writer.number(6, hello.credits);
  writer.text(7, hello.version);
  writer.end(start);
}

function writeNack(problem: ObjectProblem): void {
  const start = writer.begin(2);
  writeKey(writer, 1, problem.object);
  writer.text(2, problem.reason);
  writer.text(3, problem.field);
  writer.text(4, problem.message);
  writer.end(start);
}

function writeReport(part: ReportPart): void {
  const start = writer.begin(5);
  writer.bool(1, part.first);
  writer.bool(2, part.last);
  if (part.nodeJson.length > 0) writer.raw(3, part.nodeJson);
  for (const json of part.podJson) writer.raw(4, json);
  for (const json of part.eventJson) writer.raw(5, json);
  writer.number(6, part.sequence);
  writer.end(start);
}

/** Reads a NodeMessage; of several alternatives in one message the last counts, as protobuf has it. */
export function decodeNodeMessage(bytes: Uint8Array): NodeMessage {
  const reader = new WireReader(bytes);
  let message: NodeMessage = { kind: "unknown" };
  while (reader.next()) {
    switch (reader.field) {
      case 1:
        message = { kind: "hello", hello: readHello(reader) };
        break;
      case 2:
        message = { kind: "credits", credits: reader.uint32() };
        break;
      case 3:
        message = { kind: "received", revision: reader.number() };
        break;
      case 4:
        message = readProgrammed(reader);
        break;
      case 5:
        message = { kind: "report", part: readReport(reader) };
        break;
      case 6:
        reader.skip();
        message = { kind: "heartbeat" };
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

function readHello(reader: WireReader): Hello {
  const outer = reader.enter();
  const sets: string[] = [];
  const hello = { node: "", role: "", sets, epoch: "", revision: 0, credits: 0, version: "" };
  while (reader.next()) {
    if (reader.field === 1) hello.node = reader.text();
    else if (reader.field === 2) hello.role = reader.text();
    else if (reader.field === 3) push(sets, reader.text(), MAX_SETS);
    else if (reader.field === 4) hello.epoch = reader.text();
    else if (reader.field === 5) hello.revision = reader.number();
    else if (reader.field === 6) hello.credits = reader.uint32();
    else if (reader.field === 7) hello.version = reader.text();
    else reader.skip();
  }
  reader.leave(outer);
  return hello;
}

function push<T>(list: T[], item: T, max: number): void {
  if (list.length === max) malformed(`more than ${max} items`);
  list.push(item);
}

function readProgrammed(reader: WireReader): NodeMessage {
  const outer = reader.enter();
  const refused: ObjectProblem[] = [];
  let revision = 0;
  while (reader.next()) {
    if (reader.field === 1) revision = reader.number();
    else if (reader.field === 2) {
      const problem = readNack(reader);
      if (problem !== undefined) push(refused, problem, MAX_REFUSED);
    } else reader.skip();
  }
  reader.leave(outer);
  return { kind: "programmed", revision, refused };
}

/** `undefined` for a key of an unknown kind. */
function readNack(reader: WireReader): ObjectProblem | undefined {
  const outer = reader.enter();
  let object: ObjectProblem["object"] | undefined;
  let reason = "";
  let field = "";
  let message = "";
  while (reader.next()) {
    if (reader.field === 1) object = readKey(reader);
    else if (reader.field === 2) reason = reader.text();
    else if (reader.field === 3) field = reader.text();
    else if (reader.field === 4) message = reader.text();
    else reader.skip();
  }
  reader.leave(outer);
  return object === undefined ? undefined : { object, reason, field, message };
}

function readReport(reader: WireReader): ReportPart {
  const outer = reader.enter();
  const podJson: Uint8Array[] = [];
  const eventJson: Uint8Array[] = [];
  let first = false;
  let last = false;
  let nodeJson: Uint8Array = NO_BYTES;
  let sequence = 0;
  while (reader.next()) {
    if (reader.field === 1) first = reader.bool();
    else if (reader.field === 2) last = reader.bool();
    else if (reader.field === 3) nodeJson = reader.view();
    else if (reader.field === 4) push(podJson, reader.view(), MAX_DOCUMENTS);
    else if (reader.field === 5) push(eventJson, reader.view(), MAX_DOCUMENTS);
    else if (reader.field === 6) sequence = reader.number();
    else reader.skip();
  }
  reader.leave(outer);
  return { first, last, nodeJson, podJson, eventJson, sequence };
}
