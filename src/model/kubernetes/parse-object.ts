/**
 * Layer model. One Kubernetes object (API JSON) to the trimmed objects that agents and resolvers work with.
 * Liberal: only what cannot be programmed is refused, part by part, each with its path and what is allowed;
 * the API server is the strict place. Never throws.
 */
import type { FeedObject, ObjectKey, ObjectKind, ObjectProblem } from "../objects.ts";
import { parseNamespace, parseNode, parsePod, parseServiceCidr } from "./cluster-objects.ts";
import { parseEndpointSlice } from "./endpoint-slice.ts";
import { parseEndpoints } from "./endpoints.ts";
import { isRecord, type Json, type Parsed, Problems, show } from "./fields.ts";
import { readKey } from "./meta.ts";
import { parseService } from "./service.ts";

/** What came of one API object: legacy Endpoints give several slices, everything else at most one object. */
export interface ParsedObjects {
  readonly objects: readonly FeedObject[];
  readonly problems: readonly ObjectProblem[];
}

type Parser = (json: Json, problems: Problems) => readonly FeedObject[];

const one =
  (parse: (json: Json, problems: Problems) => Parsed<FeedObject>): Parser =>
  (json, problems) => {
    const { object } = parse(json, problems);
    return object === undefined ? [] : [object];
  };

interface KindEntry {
  readonly apiVersion: string;
  readonly kind: ObjectKind;
  readonly parse: Parser;
}

/** By API kind. Endpoints become slices, so their keys are those of slices. */
const KINDS: Readonly<Record<string, KindEntry>> = {
  Service: { apiVersion: "v1", kind: "Service", parse: one(parseService) },
  EndpointSlice: { apiVersion: "discovery.k8s.io/v1", kind: "EndpointSlice", parse: one(parseEndpointSlice) },
  Endpoints: { apiVersion: "v1", kind: "EndpointSlice", parse: parseEndpoints },
  Namespace: { apiVersion: "v1", kind: "Namespace", parse: one(parseNamespace) },
  Node: { apiVersion: "v1", kind: "Node", parse: one(parseNode) },
  ServiceCIDR: { apiVersion: "networking.k8s.io/v1", kind: "ServiceCIDR", parse: one(parseServiceCidr) },
  Pod: { apiVersion: "v1", kind: "Pod", parse: one(parsePod) },
};

/** Kinds that {@link parseKubernetesObject} understands. */
export const KNOWN_KINDS: readonly string[] = Object.keys(KINDS);

/** Parses one object of a known kind; an unknown kind or apiVersion is a problem, nothing else of it is looked at. */
export function parseKubernetesObject(value: unknown): ParsedObjects {
  if (!isRecord(value)) return refuse(UNKNOWN_KEY, "", `must be a mapping, not ${show(value)}`);
  const kind = value["kind"];
  const entry = typeof kind === "string" && Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined;
  if (entry === undefined)
    return refuse(
      readKey("Service", value).key,
      "kind",
      `must be one of ${KNOWN_KINDS.join(", ")}, not ${show(kind)}`,
    );
  const { key, bad } = readKey(entry.kind, value);
  if (bad !== undefined) return refuse(key, bad[0], bad[1]);
  const apiVersion = value["apiVersion"];
  if (apiVersion !== entry.apiVersion)
    return refuse(
      key,
      "apiVersion",
      `must be "${entry.apiVersion}" for ${String(kind)}, not ${show(apiVersion)}`,
    );
  const problems = new Problems(key);
  return { objects: entry.parse(value, problems), problems: problems.list };
}

const UNKNOWN_KEY: ObjectKey = { kind: "Service", namespace: "", name: "" };

function refuse(object: ObjectKey, field: string, message: string): ParsedObjects {
  return { objects: [], problems: [{ object, reason: "InvalidObject", field, message }] };
}
