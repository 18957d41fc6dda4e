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

/** Second acknowledgement. */
export interface ProgrammedMessage {
  readonly revision: number;
  readonly refused: readonly ObjectProblem[];
}

/** Any of the parts; what is absent was not said. */
export interface NodeMessage {
  readonly hello?: Hello;
  readonly credits?: number;
  readonly received?: number;
  readonly programmed?: ProgrammedMessage;
  readonly report?: ReportPart;
  readonly heartbeat?: boolean;
}

const MAX_SETS = 100;
const MAX_REFUSED = 10_000;
const MAX_DOCUMENTS = 10_000;
const NO_BYTES = new Uint8Array(0);

const writer = new WireWriter(4096);

/** Bytes of a NodeMessage. */
export function encodeNodeMessage(message: NodeMessage): Buffer {
  writer.reset();
  if (message.hello !== undefined) writeHello(message.hello);
  writer.number(2, message.credits ?? 0);
  writer.number(3, message.received ?? 0);
  if (message.programmed !== undefined) writeProgrammed(message.programmed);
  if (message.report !== undefined) writeReport(message.report);
  writer.bool(6, message.heartbeat === true);
  return writer.finish();
}

function writeProgrammed(programmed: ProgrammedMessage): void {
  const start = writer.begin(4);
  writer.number(1, programmed.revision);
  for (const problem of programmed.refused) writeNack(problem);
  writer.end(start);
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

/** Reads a NodeMessage; of a part that stands there twice the last counts. */
export function decodeNodeMessage(bytes: Uint8Array): NodeMessage {
  const reader = new WireReader(bytes);
  let message: NodeMessage = {};
  while (reader.next()) {
    switch (reader.field) {
      case 1:
        message = { ...message, hello: readHello(reader) };
        break;
      case 2:
        message = { ...message, credits: reader.uint32() };
        break;
      case 3:
        message = { ...message, received: reader.number() };
        break;
      case 4:
        message = { ...message, programmed: readProgrammed(reader) };
        break;
      case 5:
        message = { ...message, report: readReport(reader) };
        break;
      case 6:
        message = { ...message, heartbeat: reader.bool() };
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

function readProgrammed(reader: WireReader): ProgrammedMessage {
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
  return { revision, refused };
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
