/**
 * Layer control-plane. events.k8s.io/v1 Event: the same stored objects as v1 Event under other field names
 * (pkg/apis/events/v1/conversion.go). The short name `ev` belongs to the core kind alone.
 */
import type { ApiObject, JsonObject } from "../../registry/json.ts";
import type { Kind } from "../../registry/kind.ts";
import { META } from "../../registry/meta-schema.ts";
import { int32, message, microTime, ref, string, time } from "../../registry/schema.ts";
import { asObject, asText } from "../common/json-access.ts";
import { OBJECT_REFERENCE } from "../common/references.ts";
import { EVENT } from "./kind.ts";
import { EVENT_SOURCE } from "./schema.ts";

const SERIES = message("io.k8s.api.events.v1.EventSeries", "Repetitions of an event.", {
  count: int32(1, "How many so far.", { required: true }),
  lastObservedTime: microTime(2, "When it last happened.", { required: true }),
});

const SCHEMA = message(
  "io.k8s.api.events.v1.Event",
  "Something that happened to an object. Kept for an hour.",
  {
    metadata: META,
    eventTime: microTime(2, "When it was first observed.", { required: true }),
    series: ref(3, SERIES, "Repetitions.", { pointer: true }),
    reportingController: string(4, "Controller that reports."),
    reportingInstance: string(5, "Which of its instances."),
    action: string(6, "What was done about the object."),
    reason: string(7, "What happened, for machines."),
    regarding: ref(8, OBJECT_REFERENCE, "The object."),
    related: ref(9, OBJECT_REFERENCE, "A further object that has to do with it.", { pointer: true }),
    note: string(10, "What happened, for people."),
    type: string(11, "Normal or Warning.", { enum: ["Normal", "Warning"] }),
    deprecatedSource: ref(12, EVENT_SOURCE, "Who reports, in the core kind."),
    deprecatedFirstTimestamp: time(13, "When it first happened, in the core kind."),
    deprecatedLastTimestamp: time(14, "When it last happened, in the core kind."),
    deprecatedCount: int32(15, "How often it happened, in the core kind."),
  },
);

/** Name here, name in the core kind. */
const RENAMED: readonly (readonly [string, string])[] = [
  ["reportingController", "reportingComponent"],
  ["regarding", "involvedObject"],
  ["note", "message"],
  ["deprecatedSource", "source"],
  ["deprecatedFirstTimestamp", "firstTimestamp"],
  ["deprecatedLastTimestamp", "lastTimestamp"],
  ["deprecatedCount", "count"],
];

function rename(object: ApiObject, apiVersion: string, names: ReadonlyMap<string, string>): ApiObject {
  const fields = Object.entries(object).map(([name, value]) => [names.get(name) ?? name, value] as const);
  return {
    ...(Object.fromEntries(fields) as JsonObject),
    apiVersion,
    kind: "Event",
    metadata: object.metadata,
  };
}

const TO_CORE = new Map(RENAMED);
const FROM_CORE = new Map(RENAMED.map(([here, core]) => [core, here] as const));

const regarding = (object: ApiObject, field: string): string => asText(asObject(object["regarding"])[field]);

export const EVENTS_API_EVENT: Kind = {
  group: "events.k8s.io",
  version: "v1",
  kind: "Event",
  plural: "events",
  singular: "event",
  namespaced: true,
  ephemeral: true,
  ...(EVENT.ttlSeconds === undefined ? {} : { ttlSeconds: EVENT.ttlSeconds }),
  schema: SCHEMA,
  validate: (object, context) => EVENT.validate?.(rename(object, "v1", TO_CORE), context) ?? [],
  columns: (EVENT.columns ?? []).map((column) => ({
    ...column,
    cell: (object, context) => column.cell(rename(object, "v1", TO_CORE), context),
  })),
  fieldSelectors: {
    "regarding.kind": (object) => regarding(object, "kind"),
    "regarding.namespace": (object) => regarding(object, "namespace"),
    "regarding.name": (object) => regarding(object, "name"),
    "regarding.uid": (object) => regarding(object, "uid"),
    reason: (object) => asText(object["reason"]),
    reportingController: (object) => asText(object["reportingController"]),
    type: (object) => asText(object["type"]),
  },
  storedAs: {
    group: "",
    plural: "events",
    toStored: (object) => rename(object, "v1", TO_CORE),
    fromStored: (object) => rename(object, "events.k8s.io/v1", FROM_CORE),
  },
};
