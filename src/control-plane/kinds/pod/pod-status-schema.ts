/**
 * Layer control-plane. Schema of PodStatus and Pod.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { META } from "../../registry/meta-schema.ts";
import { bool, int32, int64, list, map, message, ref, string, time } from "../../registry/schema.ts";
import { RESOURCE_REQUIREMENTS } from "./container-schema.ts";
import { POD_SPEC } from "./pod-spec-schema.ts";

const POD_IP = message("io.k8s.api.core.v1.PodIP", "One address of the Pod.", {
  ip: string(1, "Address.", { required: true }),
});

const HOST_IP = message("io.k8s.api.core.v1.HostIP", "One address of the Pod's node.", {
  ip: string(1, "Address.", { required: true }),
});

const POD_CONDITION = message("io.k8s.api.core.v1.PodCondition", "One observed aspect of a Pod.", {
  type: string(1, "What is observed: PodScheduled, Initialized, ContainersReady, Ready, or another.", {
    required: true,
  }),
  observedGeneration: int64(7, "Generation of the Pod that this observation belongs to."),
  status: string(2, "Whether it holds.", { required: true, enum: ["True", "False", "Unknown"] }),
  lastProbeTime: time(3, "When it was last looked at."),
  lastTransitionTime: time(4, "When the status last changed."),
  reason: string(5, "Machine-readable cause of the last change."),
  message: string(6, "The same for people."),
});

const CONTAINER_STATE_WAITING = message(
  "io.k8s.api.core.v1.ContainerStateWaiting",
  "A container that does not run yet.",
  {
    reason: string(1, "Why it waits."),
    message: string(2, "The same for people."),
  },
);

const CONTAINER_STATE_RUNNING = message(
  "io.k8s.api.core.v1.ContainerStateRunning",
  "A container that runs.",
  {
    startedAt: time(1, "Since when."),
  },
);

const CONTAINER_STATE_TERMINATED = message(
  "io.k8s.api.core.v1.ContainerStateTerminated",
  "A container that has ended.",
  {
    exitCode: int32(1, "Its exit status.", { required: true }),
    signal: int32(2, "Signal that ended it."),
    reason: string(3, "Why it ended."),
    message: string(4, "The same for people."),
    startedAt: time(5, "When it had been started."),
    finishedAt: time(6, "When it ended."),
    containerID: string(7, "Which container it was."),
  },
);

const CONTAINER_STATE = message(
  "io.k8s.api.core.v1.ContainerState",
  "State of a container: at most one field; waiting if none.",
  {
    waiting: ref(1, CONTAINER_STATE_WAITING, "It does not run yet.", { pointer: true }),
    running: ref(2, CONTAINER_STATE_RUNNING, "It runs.", { pointer: true }),
    terminated: ref(3, CONTAINER_STATE_TERMINATED, "It has ended.", { pointer: true }),
  },
);

const CONTAINER_STATUS = message("io.k8s.api.core.v1.ContainerStatus", "What is known of one container.", {
  name: string(1, "Which container.", { required: true }),
  state: ref(2, CONTAINER_STATE, "Its state now."),
  lastState: ref(3, CONTAINER_STATE, "How its last run ended."),
  ready: bool(4, "Whether its readiness probe succeeds.", { required: true }),
  restartCount: int32(5, "How often it was started again.", { required: true }),
  image: string(6, "Image that it runs.", { required: true }),
  imageID: string(7, "Exact image.", { required: true }),
  containerID: string(8, "Id in the runtime, such as containerd://…"),
  started: bool(9, "Whether it has passed its startup probe.", { pointer: true }),
  allocatedResources: map(10, "quantity", "Resources set aside for it."),
  resources: ref(11, RESOURCE_REQUIREMENTS, "Resources that apply to it.", { pointer: true }),
});

const POD_STATUS = message("io.k8s.api.core.v1.PodStatus", "What is known of a Pod.", {
  observedGeneration: int64(17, "Generation of the Pod that this status belongs to."),
  phase: string(1, "Short summary.", { enum: ["Pending", "Running", "Succeeded", "Failed", "Unknown"] }),
  conditions: list(2, POD_CONDITION, "Observed aspects.", {
    mergeKey: "type",
    listType: "map",
    listMapKeys: ["type"],
  }),
  message: string(3, "Why the Pod is in this state, for people."),
  reason: string(4, "The same for machines."),
  nominatedNodeName: string(11, "Node where room is being made."),
  hostIP: string(5, "First address of the node."),
  hostIPs: list(16, HOST_IP, "All addresses of the node.", { mergeKey: "ip", listType: "atomic" }),
  podIP: string(6, "First address of the Pod."),
  podIPs: list(12, POD_IP, "Addresses of the Pod, at most one a family.", {
    mergeKey: "ip",
    listType: "map",
    listMapKeys: ["ip"],
  }),
  startTime: time(7, "When the node took the Pod on.", { pointer: true }),
  initContainerStatuses: list(10, CONTAINER_STATUS, "What is known of the init containers.", {
    listType: "atomic",
  }),
  containerStatuses: list(8, CONTAINER_STATUS, "What is known of the containers.", { listType: "atomic" }),
  qosClass: string(9, "Quality of service.", { enum: ["Guaranteed", "Burstable", "BestEffort"] }),
  ephemeralContainerStatuses: list(13, CONTAINER_STATUS, "What is known of the ephemeral containers.", {
    listType: "atomic",
  }),
  resize: string(14, "State of a change of resources."),
});

export const POD = message(
  "io.k8s.api.core.v1.Pod",
  "A group of programs with one network identity. On plain machines it usually stands for a workload that already runs there.",
  {
    metadata: META,
    spec: ref(2, POD_SPEC, "What it is made of and how it runs."),
    status: ref(3, POD_STATUS, "What is known of it."),
  },
);
