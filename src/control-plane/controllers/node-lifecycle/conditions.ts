/** Layer control-plane. Conditions of a Node that is silent and of the Pods on it. Pure. */
import { asObject, asText, objectsIn } from "../../kinds/common/json-access.ts";
import type { ApiObject, JsonObject } from "../../registry/json.ts";

const SILENT = { reason: "NodeStatusUnknown", message: "The node's agent stopped posting node status." };
const NEVER = { reason: "NodeStatusNeverUpdated", message: "The node's agent never posted node status." };

const conditionsOf = (object: ApiObject): JsonObject[] => objectsIn(asObject(object["status"])["conditions"]);

/** RFC 3339 with seconds. */
const timeText = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`;

/** The Node with everything that it reported turned Unknown, or `undefined` when it is so already. */
export function silentNode(node: ApiObject, nowMs: number): ApiObject | undefined {
  const conditions = conditionsOf(node);
  const time = timeText(nowMs);
  const unknown = (condition: JsonObject): JsonObject =>
    condition["status"] === "Unknown"
      ? condition
      : { ...condition, ...SILENT, status: "Unknown", lastTransitionTime: time };
  const next = conditions.map(unknown);
  if (!conditions.some((condition) => condition["type"] === "Ready")) {
    next.push({
      type: "Ready",
      status: "Unknown",
      ...NEVER,
      lastTransitionTime: time,
    });
  }
  if (next.length === conditions.length && next.every((condition, i) => condition === conditions[i]))
    return undefined;
  return { ...structuredClone(node), status: { ...asObject(node["status"]), conditions: next } };
}

export function readyStatus(node: ApiObject): string {
  return asText(conditionsOf(node).find((condition) => condition["type"] === "Ready")?.["status"]);
}

/** The Pod with its condition Ready turned False, or `undefined` when it is not True. */
export function unreadyPod(pod: ApiObject, nowMs: number): ApiObject | undefined {
  const conditions = conditionsOf(pod);
  if (!conditions.some((condition) => condition["type"] === "Ready" && condition["status"] === "True"))
    return undefined;
  const next = conditions.map((condition) =>
    condition["type"] === "Ready"
      ? {
          ...condition,
          status: "False",
          reason: "NodeNotReady",
          message: "The node does not report.",
          lastTransitionTime: timeText(nowMs),
        }
      : condition,
  );
  return { ...structuredClone(pod), status: { ...asObject(pod["status"]), conditions: next } };
}
