/** Layer control-plane. v1 Event: kept for an hour, outside the change log. */
import { ageSince } from "../../registry/columns.ts";
import { type FieldError, invalid } from "../../registry/field-error.ts";
import type { ApiObject, Json } from "../../registry/json.ts";
import type { Cell, Column, Kind } from "../../registry/kind.ts";
import { asNumber, asObject, asText } from "../common/json-access.ts";
import { EVENT as SCHEMA } from "./schema.ts";

/** How long the store keeps an Event after its last write. */
export const EVENT_TTL_SECONDS = 3600;

const involved = (object: ApiObject, field: string): string =>
  asText(asObject(object["involvedObject"])[field]);
const sourceOf = (object: ApiObject): string => {
  const source = asObject(object["source"]);
  const component = asText(source["component"]) || asText(object["reportingComponent"]);
  const host = asText(source["host"]) || asText(object["reportingInstance"]);
  return host === "" ? component : `${component}, ${host}`;
};

function validate(object: ApiObject): readonly FieldError[] {
  const namespace = object.metadata.namespace ?? "";
  const about = involved(object, "namespace");
  // Events about cluster-wide objects are kept in "default".
  const fits = about === "" ? namespace === "default" || namespace === "kube-system" : about === namespace;
  return fits ? [] : [invalid("involvedObject.namespace", about, "does not match event.namespace")];
}

/** When the event was last or first seen: the series' time, the old time stamps, or the event time. */
function seen(object: ApiObject, which: "first" | "last", nowMs: number): string {
  const series = asText(asObject(object["series"])["lastObservedTime"]);
  const eventTime = asText(object["eventTime"]);
  const stamp = asText(object[which === "first" ? "firstTimestamp" : "lastTimestamp"]);
  const time = which === "last" && series !== "" ? series : stamp === "" ? eventTime : stamp;
  return ageSince(time, nowMs);
}

const countOf = (object: ApiObject): number =>
  asNumber(asObject(object["series"])["count"]) || asNumber(object["count"]) || 1;

const column = (
  name: string,
  description: string,
  cell: (object: ApiObject, nowMs: number) => Cell,
  priority = 0,
): Column => ({
  name,
  type: "string",
  description,
  priority,
  cell: (object, { nowMs }) => cell(object, nowMs),
});

const text = (value: Json | undefined): string => asText(value).trim();

export const EVENT: Kind = {
  group: "",
  version: "v1",
  kind: "Event",
  plural: "events",
  singular: "event",
  shortNames: ["ev"],
  namespaced: true,
  ephemeral: true,
  ttlSeconds: EVENT_TTL_SECONDS,
  allowCreateOnUpdate: true,
  schema: SCHEMA,
  validate,
  columns: [
    column("Last Seen", "When it last happened.", (object, nowMs) => seen(object, "last", nowMs)),
    column("Type", "Normal or Warning.", (object) => text(object["type"])),
    column("Reason", "What happened.", (object) => text(object["reason"])),
    column(
      "Object",
      "The object that it happened to.",
      (object) => `${involved(object, "kind").toLowerCase()}/${involved(object, "name")}`,
    ),
    column("Subobject", "Part of the object.", (object) => involved(object, "fieldPath"), 1),
    column("Source", "Who reports.", sourceOf, 1),
    column("Message", "What happened, for people.", (object) => text(object["message"])),
    column("First Seen", "When it first happened.", (object, nowMs) => seen(object, "first", nowMs), 1),
    column("Count", "How often it happened.", countOf, 1),
    { ...column("Name", "Name of the event.", (object) => object.metadata.name ?? "", 1), format: "name" },
  ],
  fieldSelectors: {
    "involvedObject.kind": (object) => involved(object, "kind"),
    "involvedObject.namespace": (object) => involved(object, "namespace"),
    "involvedObject.name": (object) => involved(object, "name"),
    "involvedObject.uid": (object) => involved(object, "uid"),
    "involvedObject.apiVersion": (object) => involved(object, "apiVersion"),
    "involvedObject.resourceVersion": (object) => involved(object, "resourceVersion"),
    "involvedObject.fieldPath": (object) => involved(object, "fieldPath"),
    reason: (object) => asText(object["reason"]),
    reportingComponent: (object) => asText(object["reportingComponent"]),
    source: (object) =>
      asText(asObject(object["source"])["component"]) || asText(object["reportingComponent"]),
    type: (object) => asText(object["type"]),
  },
};
