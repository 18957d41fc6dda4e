/**
 * Layer control-plane. v1 Pod. On plain machines most pods are mirrors of manifests that an agent reads; a mirror, a
 * pod without a node and a finished one go at once when deleted, others get their grace period (the pod collector
 * removes them after it when no agent does).
 */

import type { ApiObject, JsonObject } from "../../registry/json.ts";
import type { Kind } from "../../registry/kind.ts";
import { DELETE_OPTIONS, META } from "../../registry/meta-schema.ts";
import { message, ref } from "../../registry/schema.ts";
import { asNumber, asObject, asText, ensureObject, objectsIn } from "../common/json-access.ts";
import { POD_COLUMNS } from "./columns.ts";
import { setPodDefaults } from "./defaults.ts";
import { POD as SCHEMA } from "./pod-status-schema.ts";
import { qosClass } from "./qos-class.ts";
import { isMirror, validatePod, validatePodStatus, validatePodUpdate } from "./validate.ts";

const specOf = (pod: ApiObject): JsonObject => asObject(pod["spec"]);
const statusOf = (pod: ApiObject): JsonObject => asObject(pod["status"]);
const phaseOf = (pod: ApiObject): string => asText(statusOf(pod)["phase"]);

const EVICTION = message("io.k8s.api.policy.v1.Eviction", "Asks for a Pod to be taken off its node.", {
  metadata: META,
  deleteOptions: ref(2, DELETE_OPTIONS, "How it is deleted.", { pointer: true }),
});

/** `podIP` is the first of `podIPs`; whichever is there fills the other. */
function alignIps(status: JsonObject): void {
  const ips = objectsIn(status["podIPs"]);
  const single = asText(status["podIP"]);
  const first = asText(ips[0]?.["ip"]);
  if (single === "" && first !== "") status["podIP"] = first;
  else if (single !== "" && first === "") status["podIPs"] = [{ ip: single }];
}

const NO_CONTAINERS =
  "nodeplane starts no containers, a Pod stands for what runs on its node already; go there, for example with ssh and journalctl";

export const POD: Kind = {
  group: "",
  version: "v1",
  kind: "Pod",
  plural: "pods",
  singular: "pod",
  shortNames: ["po"],
  categories: ["all"],
  namespaced: true,
  generation: true,
  schema: SCHEMA,
  setDefaults: setPodDefaults,
  prepareForCreate(pod) {
    pod["status"] = { phase: "Pending", qosClass: qosClass(pod) };
  },
  validate: validatePod,
  validateUpdate: validatePodUpdate,
  gracePeriodSeconds(pod, asked) {
    const finished = phaseOf(pod) === "Succeeded" || phaseOf(pod) === "Failed";
    if (isMirror(pod) || finished || asText(specOf(pod)["nodeName"]) === "") return 0;
    return asked ?? asNumber(specOf(pod)["terminationGracePeriodSeconds"]);
  },
  unserved: { log: NO_CONTAINERS, exec: NO_CONTAINERS, attach: NO_CONTAINERS, portforward: NO_CONTAINERS },
  subresources: {
    status: {
      type: "object",
      prepare(pod, old) {
        pod["spec"] = structuredClone(old["spec"]);
        const status = ensureObject(pod, "status");
        alignIps(status);
        const qos = statusOf(old)["qosClass"];
        if (qos !== undefined) status["qosClass"] = qos;
      },
      validate: validatePodStatus,
    },
    eviction: {
      type: "action",
      group: "policy",
      version: "v1",
      kind: "Eviction",
      request: EVICTION,
      run(_pod, body) {
        const seconds = asObject(body["deleteOptions"])["gracePeriodSeconds"];
        return {
          result: "delete",
          ...(typeof seconds === "number" ? { gracePeriodSeconds: seconds } : {}),
        };
      },
    },
  },
  columns: POD_COLUMNS,
  fieldSelectors: {
    "spec.nodeName": (pod) => asText(specOf(pod)["nodeName"]),
    "spec.restartPolicy": (pod) => asText(specOf(pod)["restartPolicy"]),
    "spec.schedulerName": (pod) => asText(specOf(pod)["schedulerName"]),
    "spec.serviceAccountName": (pod) => asText(specOf(pod)["serviceAccountName"]),
    "spec.hostNetwork": (pod) => String(specOf(pod)["hostNetwork"] === true),
    "status.phase": phaseOf,
    "status.podIP": (pod) => asText(statusOf(pod)["podIP"]),
    "status.podIPs": (pod) =>
      objectsIn(statusOf(pod)["podIPs"])
        .map((entry) => asText(entry["ip"]))
        .join(","),
    "status.nominatedNodeName": (pod) => asText(statusOf(pod)["nominatedNodeName"]),
  },
};
