/**
 * Layer control-plane. Schema of what decides where a Pod may run. Kept for compatibility: nodeplane binds workloads to nodes itself.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { LABEL_SELECTOR } from "../../registry/meta-schema.ts";
import { int32, int64, list, message, ref, string } from "../../registry/schema.ts";

const NODE_SELECTOR_REQUIREMENT = message(
  "io.k8s.api.core.v1.NodeSelectorRequirement",
  "One condition on a node's label or field.",
  {
    key: string(1, "Label or field to look at.", { required: true }),
    operator: string(2, "How it relates to the values.", {
      required: true,
      enum: ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"],
    }),
    values: list(3, "string", "The values.", { listType: "atomic" }),
  },
);

const NODE_SELECTOR_TERM = message("io.k8s.api.core.v1.NodeSelectorTerm", "Conditions that must all hold.", {
  matchExpressions: list(1, NODE_SELECTOR_REQUIREMENT, "Conditions on labels.", { listType: "atomic" }),
  matchFields: list(2, NODE_SELECTOR_REQUIREMENT, "Conditions on fields.", { listType: "atomic" }),
});

const NODE_SELECTOR = message("io.k8s.api.core.v1.NodeSelector", "Terms of which one must hold.", {
  nodeSelectorTerms: list(1, NODE_SELECTOR_TERM, "The terms.", { required: true, listType: "atomic" }),
});

const PREFERRED_SCHEDULING_TERM = message(
  "io.k8s.api.core.v1.PreferredSchedulingTerm",
  "A wish with a weight.",
  {
    weight: int32(1, "How much it counts, 1 to 100.", { required: true }),
    preference: ref(2, NODE_SELECTOR_TERM, "What is wished for.", { required: true }),
  },
);

const NODE_AFFINITY = message("io.k8s.api.core.v1.NodeAffinity", "Which nodes suit the Pod.", {
  requiredDuringSchedulingIgnoredDuringExecution: ref(1, NODE_SELECTOR, "What must hold.", { pointer: true }),
  preferredDuringSchedulingIgnoredDuringExecution: list(2, PREFERRED_SCHEDULING_TERM, "What should hold.", {
    listType: "atomic",
  }),
});

const POD_AFFINITY_TERM = message("io.k8s.api.core.v1.PodAffinityTerm", "Pods to be near to or away from.", {
  labelSelector: ref(1, LABEL_SELECTOR, "Which pods.", { pointer: true }),
  namespaces: list(2, "string", "Namespaces of those pods; the Pod's own if empty.", { listType: "atomic" }),
  topologyKey: string(3, "Node label that says what near means.", { required: true }),
  namespaceSelector: ref(4, LABEL_SELECTOR, "Namespaces by their labels.", { pointer: true }),
  matchLabelKeys: list(5, "string", "Labels whose values are taken from the Pod itself.", {
    listType: "atomic",
  }),
  mismatchLabelKeys: list(6, "string", "Labels whose values must differ from the Pod's own.", {
    listType: "atomic",
  }),
});

const WEIGHTED_POD_AFFINITY_TERM = message(
  "io.k8s.api.core.v1.WeightedPodAffinityTerm",
  "A wish about other pods with a weight.",
  {
    weight: int32(1, "How much it counts, 1 to 100.", { required: true }),
    podAffinityTerm: ref(2, POD_AFFINITY_TERM, "What is wished for.", { required: true }),
  },
);

const POD_AFFINITY = message("io.k8s.api.core.v1.PodAffinity", "Pods to be near to.", {
  requiredDuringSchedulingIgnoredDuringExecution: list(1, POD_AFFINITY_TERM, "What must hold.", {
    listType: "atomic",
  }),
  preferredDuringSchedulingIgnoredDuringExecution: list(2, WEIGHTED_POD_AFFINITY_TERM, "What should hold.", {
    listType: "atomic",
  }),
});

const POD_ANTI_AFFINITY = message("io.k8s.api.core.v1.PodAntiAffinity", "Pods to stay away from.", {
  requiredDuringSchedulingIgnoredDuringExecution: list(1, POD_AFFINITY_TERM, "What must hold.", {
    listType: "atomic",
  }),
  preferredDuringSchedulingIgnoredDuringExecution: list(2, WEIGHTED_POD_AFFINITY_TERM, "What should hold.", {
    listType: "atomic",
  }),
});

export const AFFINITY = message("io.k8s.api.core.v1.Affinity", "Where the Pod may and should run.", {
  nodeAffinity: ref(1, NODE_AFFINITY, "Which nodes.", { pointer: true }),
  podAffinity: ref(2, POD_AFFINITY, "Near which pods.", { pointer: true }),
  podAntiAffinity: ref(3, POD_ANTI_AFFINITY, "Away from which pods.", { pointer: true }),
});

export const TOLERATION = message("io.k8s.api.core.v1.Toleration", "A taint that the Pod puts up with.", {
  key: string(1, "Key of the taint; empty with Exists means all."),
  operator: string(2, "How key and value relate.", { enum: ["Exists", "Equal"], default: "Equal" }),
  value: string(3, "Value of the taint."),
  effect: string(4, "Effect that is tolerated; empty means all.", {
    enum: ["NoSchedule", "PreferNoSchedule", "NoExecute"],
  }),
  tolerationSeconds: int64(5, "For NoExecute: how long.", { pointer: true }),
});

export const TOPOLOGY_SPREAD_CONSTRAINT = message(
  "io.k8s.api.core.v1.TopologySpreadConstraint",
  "How alike pods are spread.",
  {
    maxSkew: int32(1, "Largest difference between domains.", { required: true }),
    topologyKey: string(2, "Node label that makes the domains.", { required: true }),
    whenUnsatisfiable: string(3, "What happens when it cannot be met.", {
      required: true,
      enum: ["DoNotSchedule", "ScheduleAnyway"],
    }),
    labelSelector: ref(4, LABEL_SELECTOR, "Pods that are counted.", { pointer: true }),
    minDomains: int32(5, "Fewest domains that count as spread.", { pointer: true }),
    nodeAffinityPolicy: string(6, "Whether nodes excluded by affinity count.", {
      pointer: true,
      enum: ["Honor", "Ignore"],
    }),
    nodeTaintsPolicy: string(7, "Whether tainted nodes count.", { pointer: true, enum: ["Honor", "Ignore"] }),
    matchLabelKeys: list(8, "string", "Labels whose values are taken from the Pod itself.", {
      listType: "atomic",
    }),
  },
);
