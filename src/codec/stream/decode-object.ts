/**
 * Layer codec. Bytes of nodestream.proto's Object to a trimmed object, or to its key alone. Pure.
 * What is newer than this version is skipped: a field, a port of an unknown protocol, an object of an unknown kind.
 * @throws {NodeplaneError} STREAM_MALFORMED
 */
import type { FeedObject, ObjectKey, ObjectKind, ObjectMeta } from "../../model/objects.ts";
import { decodeNode, decodePod, decodeServiceCidr } from "./decode-cluster-objects.ts";
import { decodeEndpointSlice } from "./decode-endpoint-slice.ts";
import { decodeService } from "./decode-service.ts";
import { KIND_BY_FIELD } from "./kinds.ts";
import { malformed, WireReader } from "./wire.ts";

const NO_PAIRS: Readonly<Record<string, string>> = Object.freeze({});

/** Body of an Object of unknown content: where it starts and ends. */
interface Parts {
  readonly metaStart: number;
  readonly metaEnd: number;
  readonly kind: ObjectKind | undefined;
  readonly bodyStart: number;
  readonly bodyEnd: number;
}

function findParts(bytes: Uint8Array, start: number, end: number): Parts {
  const reader = new WireReader(bytes, start, end);
  let parts: Parts = { metaStart: 0, metaEnd: 0, kind: undefined, bodyStart: 0, bodyEnd: 0 };
  while (reader.next()) {
    const kind = KIND_BY_FIELD.get(reader.field);
    if (reader.field === 1) {
      const length = reader.length();
      parts = { ...parts, metaStart: reader.offset, metaEnd: reader.offset + length };
      reader.offset += length;
    } else if (kind !== undefined) {
      const length = reader.length();
      parts = { ...parts, kind, bodyStart: reader.offset, bodyEnd: reader.offset + length };
      reader.offset += length;
    } else reader.skip();
  }
  return parts;
}

/**
 * @param withTargets false leaves `targetPod` out, which agents do not use and which is a third of an endpoint's memory
 * @returns `undefined` for an object that this version does not know
 */
export function decodeObject(
  bytes: Uint8Array,
  start = 0,
  end = bytes.length,
  withTargets = true,
): FeedObject | undefined {
  const parts = findParts(bytes, start, end);
  if (parts.kind === undefined) return undefined;
  const meta = decodeMeta(new WireReader(bytes, parts.metaStart, parts.metaEnd));
  const body = new WireReader(bytes, parts.bodyStart, parts.bodyEnd);
  switch (parts.kind) {
    case "Service":
      return decodeService(body, meta);
    case "EndpointSlice":
      return decodeEndpointSlice(body, meta, withTargets);
    case "Namespace":
      return { kind: "Namespace", meta };
    case "Node":
      return decodeNode(body, meta);
    case "ServiceCIDR":
      return decodeServiceCidr(body, meta);
    case "Pod":
      return decodePod(body, meta);
  }
}

/** Key of an Object without decoding the rest; `undefined` for an unknown kind. */
export function decodeObjectKey(bytes: Uint8Array, start = 0, end = bytes.length): ObjectKey | undefined {
  const parts = findParts(bytes, start, end);
  if (parts.kind === undefined) return undefined;
  const reader = new WireReader(bytes, parts.metaStart, parts.metaEnd);
  let namespace = "";
  let name = "";
  while (reader.next()) {
    if (reader.field === 1) namespace = reader.text();
    else if (reader.field === 2) name = reader.text();
    else reader.skip();
  }
  return { kind: parts.kind, namespace, name };
}

function decodeMeta(reader: WireReader): ObjectMeta {
  let namespace = "";
  let name = "";
  let uid = "";
  let creationTimestampMs = 0;
  let deletionTimestampMs = 0;
  let labels: string[] | undefined;
  let annotations: string[] | undefined;
  while (reader.next()) {
    switch (reader.field) {
      case 1:
        namespace = reader.text();
        break;
      case 2:
        name = reader.text();
        break;
      case 3:
        uid = reader.text();
        break;
      case 4:
        creationTimestampMs = reader.number();
        break;
      case 5:
        deletionTimestampMs = reader.number();
        break;
      case 6:
        labels ??= [];
        labels.push(reader.text());
        break;
      case 7:
        annotations ??= [];
        annotations.push(reader.text());
        break;
      default:
        reader.skip();
    }
  }
  if (name === "") malformed("object without name");
  const meta = {
    namespace,
    name,
    uid,
    creationTimestampMs,
    labels: toPairs(labels),
    annotations: toPairs(annotations),
  };
  return deletionTimestampMs === 0 ? meta : { ...meta, deletionTimestampMs };
}

function toPairs(list: readonly string[] | undefined): Readonly<Record<string, string>> {
  if (list === undefined) return NO_PAIRS;
  if (list.length % 2 === 1) malformed("label or annotation without value");
  const pairs: Record<string, string> = {};
  for (let at = 0; at < list.length; at += 2) {
    const key = list[at] ?? "";
    if (key !== "__proto__") pairs[key] = list[at + 1] ?? "";
  }
  return pairs;
}
