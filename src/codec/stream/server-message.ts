/**
 * Layer codec. Messages from the server to a node. Pure. Written as separate fields, because the bytes of messages can
 * be put together from fields that were encoded before: each object is encoded once for all nodes.
 * @throws {NodeplaneError} STREAM_MALFORMED from everything that reads
 */
import type { Buffer } from "node:buffer";
import type { FeedObject, ObjectKey } from "../../model/objects.ts";
import { writeObject } from "./encode-object.ts";
import { isObjectKind } from "./kinds.ts";
import { WireReader, WireWriter } from "./wire.ts";

/** No message of either side is larger. */
export const MAX_MESSAGE_BYTES = 256 * 1024;

export interface Welcome {
  readonly epoch: string;
  readonly revision: number;
  readonly version: string;
  readonly unknownSets: readonly string[];
}

export interface Begin {
  readonly revision: number;
  readonly snapshot: boolean;
  readonly authoritative: boolean;
  /** 0 for a snapshot. */
  readonly fromRevision: number;
  readonly changedAtMs: number;
  /** Empty unless it is a snapshot. */
  readonly epoch: string;
}

export interface Commit {
  readonly revision: number;
  readonly leftOut: number;
}

const writer = new WireWriter(64 * 1024);

function written(write: () => void): Buffer {
  writer.reset();
  write();
  return writer.finish();
}

export function encodeWelcome(welcome: Welcome): Buffer {
  return written(() => {
    const start = writer.begin(1);
    writer.text(1, welcome.epoch);
    writer.number(2, welcome.revision);
    writer.text(3, welcome.version);
    for (const set of welcome.unknownSets) writer.item(4, set);
    writer.end(start);
  });
}

export function encodeBegin(begin: Begin): Buffer {
  return written(() => {
    const start = writer.begin(2);
    writer.number(1, begin.revision);
    writer.bool(2, begin.snapshot);
    writer.bool(3, begin.authoritative);
    writer.number(4, begin.fromRevision);
    writer.number(5, begin.changedAtMs);
    writer.text(6, begin.epoch);
    writer.end(start);
  });
}

export function encodeUpsert(object: FeedObject): Buffer {
  return written(() => writeObject(writer, 3, object));
}

export function encodeRemove(key: ObjectKey): Buffer {
  return written(() => writeKey(writer, 4, key));
}

export function encodeCommit(commit: Commit): Buffer {
  return written(() => {
    const start = writer.begin(5);
    writer.number(1, commit.revision);
    writer.number(2, commit.leftOut);
    writer.end(start);
  });
}

export function encodeReportTaken(sequence: number): Buffer {
  return written(() => writer.number(6, sequence));
}

/** Asks the node to report again. */
export function encodeReportAgain(): Buffer {
  return written(() => writer.bool(7, true));
}

/** Writes a key as the message field `field`. */
export function writeKey(to: WireWriter, field: number, key: ObjectKey): void {
  const start = to.begin(field);
  to.text(1, key.kind);
  to.text(2, key.namespace);
  to.text(3, key.name);
  to.end(start);
}

/** `undefined` for a kind that this version does not know. */
export function readKey(reader: WireReader): ObjectKey | undefined {
  const outer = reader.enter();
  let kind = "";
  let namespace = "";
  let name = "";
  while (reader.next()) {
    if (reader.field === 1) kind = reader.text();
    else if (reader.field === 2) namespace = reader.text();
    else if (reader.field === 3) name = reader.text();
    else reader.skip();
  }
  reader.leave(outer);
  return isObjectKind(kind) ? { kind, namespace, name } : undefined;
}

/** Gets the fields of a message in the order of their numbers. */
export interface ServerMessageVisitor {
  welcome?(welcome: Welcome): void;
  begin?(begin: Begin): void;
  /** The Object is at `bytes[start, end)`; `fieldStart` is where its field begins, tag included. */
  upsert?(bytes: Buffer, start: number, end: number, fieldStart: number): void;
  remove?(key: ObjectKey): void;
  commit?(commit: Commit): void;
  reportTaken?(sequence: number): void;
  reportAgain?(): void;
}

/** Walks through one message; unknown fields are skipped. */
export function visitServerMessage(bytes: Uint8Array, visitor: ServerMessageVisitor): void {
  const reader = new WireReader(bytes);
  for (;;) {
    const fieldStart = reader.offset;
    if (!reader.next()) return;
    switch (reader.field) {
      case 1:
        if (visitor.welcome === undefined) reader.skip();
        else visitor.welcome(readWelcome(reader));
        break;
      case 2:
        if (visitor.begin === undefined) reader.skip();
        else visitor.begin(readBegin(reader));
        break;
      case 3: {
        const length = reader.length();
        const start = reader.offset;
        reader.offset += length;
        visitor.upsert?.(reader.bytes, start, reader.offset, fieldStart);
        break;
      }
      case 4: {
        const key = readKey(reader);
        if (key !== undefined) visitor.remove?.(key);
        break;
      }
      case 5:
        if (visitor.commit === undefined) reader.skip();
        else visitor.commit(readCommit(reader));
        break;
      case 6:
        if (visitor.reportTaken === undefined) reader.skip();
        else visitor.reportTaken(reader.number());
        break;
      case 7:
        if (reader.bool()) visitor.reportAgain?.();
        break;
      default:
        reader.skip();
    }
  }
}

function readWelcome(reader: WireReader): Welcome {
  const outer = reader.enter();
  let epoch = "";
  let revision = 0;
  let version = "";
  const unknownSets: string[] = [];
  while (reader.next()) {
    if (reader.field === 1) epoch = reader.text();
    else if (reader.field === 2) revision = reader.number();
    else if (reader.field === 3) version = reader.text();
    else if (reader.field === 4) unknownSets.push(reader.text());
    else reader.skip();
  }
  reader.leave(outer);
  return { epoch, revision, version, unknownSets };
}

function readBegin(reader: WireReader): Begin {
  const outer = reader.enter();
  const begin = {
    revision: 0,
    snapshot: false,
    authoritative: false,
    fromRevision: 0,
    changedAtMs: 0,
    epoch: "",
  };
  while (reader.next()) {
    if (reader.field === 1) begin.revision = reader.number();
    else if (reader.field === 2) begin.snapshot = reader.bool();
    else if (reader.field === 3) begin.authoritative = reader.bool();
    else if (reader.field === 4) begin.fromRevision = reader.number();
    else if (reader.field === 5) begin.changedAtMs = reader.number();
    else if (reader.field === 6) begin.epoch = reader.text();
    else reader.skip();
  }
  reader.leave(outer);
  return begin;
}

function readCommit(reader: WireReader): Commit {
  const outer = reader.enter();
  let revision = 0;
  let leftOut = 0;
  while (reader.next()) {
    if (reader.field === 1) revision = reader.number();
    else if (reader.field === 2) leftOut = reader.uint32();
    else reader.skip();
  }
  reader.leave(outer);
  return { revision, leftOut };
}
