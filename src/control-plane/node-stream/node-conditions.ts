/** Layer control-plane. Conditions of a Node: what a node reports put over what is there. Pure. */
import {
  type ApiObject,
  isJsonObject,
  type Json,
  type JsonObject,
  sameJson,
  valueAt,
} from "../registry/json.ts";

/** A heartbeat alone is written this often. */
const HEARTBEAT_MS = 60_000;

export function textOf(value: Json | undefined): string {
  return typeof value === "string" ? value : "";
}

export function conditionsOf(object: ApiObject): readonly JsonObject[] {
  const list = valueAt(object, ["status", "conditions"]);
  return Array.isArray(list) ? list.filter(isJsonObject) : [];
}

/**
 * Reported conditions over the known ones; others stay. A condition that does not change its status keeps the time of
 * its last transition, whatever the reporter says: it may have been turned Unknown and back meanwhile.
 */
export function mergeConditions(
  known: readonly JsonObject[],
  reported: readonly JsonObject[],
  nowMs: number,
): JsonObject[] {
  const now = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
  const merged = reported.map((condition) => {
    const before = known.find((one) => one["type"] === condition["type"]);
    if (before === undefined) return condition;
    const isSame = before["status"] === condition["status"];
    return { ...condition, lastTransitionTime: isSame ? before["lastTransitionTime"] : now };
  });
  const types = new Set(reported.map((condition) => condition["type"]));
  return [...known.filter((condition) => !types.has(condition["type"])), ...merged];
}

/** True when nothing differs but heartbeat times, and these by little. */
export function isOnlyHeartbeat(known: readonly JsonObject[], next: readonly JsonObject[]): boolean {
  if (known.length !== next.length) return false;
  return next.every((condition) => {
    const before = known.find((one) => one["type"] === condition["type"]);
    if (before === undefined) return false;
    const { lastHeartbeatTime: newer, ...rest } = condition;
    const { lastHeartbeatTime: older, ...restBefore } = before;
    const aheadMs = Date.parse(textOf(newer)) - Date.parse(textOf(older));
    const isRecent = newer === older || (Number.isFinite(aheadMs) && aheadMs < HEARTBEAT_MS);
    return isRecent && sameJson(rest, restBefore);
  });
}
