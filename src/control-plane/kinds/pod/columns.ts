/** Layer control-plane. Columns of pods, with the status text that kubectl users know (pkg/printers printPod). */
import { AGE, formatAge, NAME } from "../../registry/columns.ts";
import type { ApiObject, JsonObject } from "../../registry/json.ts";
import type { Column } from "../../registry/kind.ts";
import { asNumber, asObject, asText, objectsIn } from "../common/json-access.ts";

const NONE = "<none>";
const specOf = (pod: ApiObject): JsonObject => asObject(pod["spec"]);
const statusOf = (pod: ApiObject): JsonObject => asObject(pod["status"]);
const stateOf = (status: JsonObject): JsonObject => asObject(status["state"]);

function ready(pod: ApiObject): string {
  const total = objectsIn(specOf(pod)["containers"]).length;
  const statuses = objectsIn(statusOf(pod)["containerStatuses"]);
  const count = statuses.filter(
    (status) => status["ready"] === true && stateOf(status)["running"] !== undefined,
  ).length;
  return `${count}/${total}`;
}

/** `Init:1/2`, `Init:Error`, … while init containers have work to do. */
function initText(pod: ApiObject): string | undefined {
  const total = objectsIn(specOf(pod)["initContainers"]).length;
  const statuses = objectsIn(statusOf(pod)["initContainerStatuses"]);
  for (const [index, status] of statuses.entries()) {
    const state = stateOf(status);
    const terminated = asObject(state["terminated"]);
    if (state["terminated"] !== undefined && asNumber(terminated["exitCode"]) === 0) continue;
    if (state["terminated"] !== undefined) {
      const reason = asText(terminated["reason"]);
      if (reason !== "") return `Init:${reason}`;
      const signal = asNumber(terminated["signal"]);
      return signal === 0 ? `Init:ExitCode:${asNumber(terminated["exitCode"])}` : `Init:Signal:${signal}`;
    }
    const waiting = asText(asObject(state["waiting"])["reason"]);
    if (waiting !== "" && waiting !== "PodInitializing") return `Init:${waiting}`;
    return `Init:${index}/${total}`;
  }
  return undefined;
}

function containerReason(status: JsonObject): string | undefined {
  const state = stateOf(status);
  const waiting = asText(asObject(state["waiting"])["reason"]);
  if (waiting !== "") return waiting;
  if (state["terminated"] === undefined) return undefined;
  const terminated = asObject(state["terminated"]);
  const reason = asText(terminated["reason"]);
  if (reason !== "") return reason;
  const signal = asNumber(terminated["signal"]);
  return signal === 0 ? `ExitCode:${asNumber(terminated["exitCode"])}` : `Signal:${signal}`;
}

function podStatus(pod: ApiObject): string {
  const status = statusOf(pod);
  let text = asText(status["reason"]) || asText(status["phase"]);
  const init = initText(pod);
  if (init !== undefined) text = init;
  else {
    const statuses = objectsIn(status["containerStatuses"]);
    for (const container of statuses.toReversed()) text = containerReason(container) ?? text;
    const running = statuses.some((one) => one["ready"] === true && stateOf(one)["running"] !== undefined);
    if (text === "Completed" && running) text = isReady(pod) ? "Running" : "NotReady";
  }
  if (pod.metadata.deletionTimestamp === undefined) return text;
  return asText(status["reason"]) === "NodeLost" ? "Unknown" : "Terminating";
}

function isReady(pod: ApiObject): boolean {
  return objectsIn(statusOf(pod)["conditions"]).some(
    (condition) => condition["type"] === "Ready" && condition["status"] === "True",
  );
}

function restarts(pod: ApiObject, nowMs: number): string {
  let count = 0;
  let lastMs = 0;
  for (const container of objectsIn(statusOf(pod)["containerStatuses"])) {
    count += asNumber(container["restartCount"]);
    const finished = asText(asObject(asObject(container["lastState"])["terminated"])["finishedAt"]);
    if (finished !== "") lastMs = Math.max(lastMs, Date.parse(finished));
  }
  return count > 0 && lastMs > 0 ? `${count} (${formatAge((nowMs - lastMs) / 1000)} ago)` : String(count);
}

function readinessGates(pod: ApiObject): string {
  const gates = objectsIn(specOf(pod)["readinessGates"]);
  if (gates.length === 0) return NONE;
  const conditions = objectsIn(statusOf(pod)["conditions"]);
  const good = gates.filter((gate) =>
    conditions.some((one) => one["type"] === gate["conditionType"] && one["status"] === "True"),
  );
  return `${good.length}/${gates.length}`;
}

function firstIp(pod: ApiObject): string {
  const status = statusOf(pod);
  return asText(objectsIn(status["podIPs"])[0]?.["ip"]) || asText(status["podIP"]) || NONE;
}

const wide = (name: string, description: string, cell: (pod: ApiObject) => string): Column => {
  return { name, type: "string", description, priority: 1, cell };
};

export const POD_COLUMNS: readonly Column[] = [
  NAME,
  { name: "Ready", type: "string", description: "Containers that are ready, of all.", cell: ready },
  { name: "Status", type: "string", description: "The state of the Pod in one word.", cell: podStatus },
  {
    name: "Restarts",
    type: "string",
    description: "How often its containers were started again.",
    cell: (pod, { nowMs }) => restarts(pod, nowMs),
  },
  AGE,
  wide("IP", "First address of the Pod.", firstIp),
  wide("Node", "Node that it runs on.", (pod) => asText(specOf(pod)["nodeName"]) || NONE),
  wide(
    "Nominated Node",
    "Node where room is being made.",
    (pod) => asText(statusOf(pod)["nominatedNodeName"]) || NONE,
  ),
  wide("Readiness Gates", "Readiness gates that hold, of all.", readinessGates),
];
