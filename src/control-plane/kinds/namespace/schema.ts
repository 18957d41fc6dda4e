/**
 * Layer control-plane. Schema of Namespace.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { META } from "../../registry/meta-schema.ts";
import { list, message, ref, string, time } from "../../registry/schema.ts";

const NAMESPACE_SPEC = message("io.k8s.api.core.v1.NamespaceSpec", "What keeps a namespace.", {
  finalizers: list(1, "string", "Who must finish before a deleted namespace goes.", { listType: "atomic" }),
});

const NAMESPACE_CONDITION = message(
  "io.k8s.api.core.v1.NamespaceCondition",
  "One observed aspect of a namespace that is being deleted.",
  {
    type: string(1, "What is observed.", { required: true }),
    status: string(2, "Whether it holds.", { required: true, enum: ["True", "False", "Unknown"] }),
    lastTransitionTime: time(4, "When the status last changed."),
    reason: string(5, "Machine-readable cause of the last change."),
    message: string(6, "The same for people."),
  },
);

const NAMESPACE_STATUS = message("io.k8s.api.core.v1.NamespaceStatus", "Where a namespace is in its life.", {
  phase: string(1, "Active, or Terminating while its content is removed.", {
    enum: ["Active", "Terminating"],
  }),
  conditions: list(2, NAMESPACE_CONDITION, "Observed aspects of the deletion.", {
    mergeKey: "type",
    listType: "map",
    listMapKeys: ["type"],
  }),
});

export const NAMESPACE = message("io.k8s.api.core.v1.Namespace", "A scope for names.", {
  metadata: META,
  spec: ref(2, NAMESPACE_SPEC, "What keeps it."),
  status: ref(3, NAMESPACE_STATUS, "Where it is in its life."),
});
