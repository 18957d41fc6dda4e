/** Layer control-plane. Quality of service of a pod from its containers' resources (pkg/apis/core/v1/helper/qos). */
import type { ApiObject } from "../../registry/json.ts";
import { sameJson } from "../../registry/json.ts";
import { asObject, objectsIn } from "../common/json-access.ts";

/** Guaranteed: every container limits cpu and memory and requests the same. BestEffort: nothing is given at all. */
export function qosClass(pod: ApiObject): "Guaranteed" | "Burstable" | "BestEffort" {
  const spec = asObject(pod["spec"]);
  const containers = [...objectsIn(spec["initContainers"]), ...objectsIn(spec["containers"])];
  let any = false;
  let all = true;
  for (const container of containers) {
    const resources = asObject(container["resources"]);
    const limits = asObject(resources["limits"]);
    const requests = asObject(resources["requests"]);
    for (const name of ["cpu", "memory"]) {
      if (limits[name] !== undefined || requests[name] !== undefined) any = true;
      if (limits[name] === undefined || !sameJson(limits[name], requests[name] ?? limits[name])) all = false;
    }
  }
  return any ? (all ? "Guaranteed" : "Burstable") : "BestEffort";
}
