/**
 * Layer control-plane. Schema of Node.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { META } from "../../registry/meta-schema.ts";
import { bool, int32, int64, list, map, message, ref, string, time } from "../../registry/schema.ts";

const TAINT = message("io.k8s.api.core.v1.Taint", "Keeps pods away that do not tolerate it.", {
  key: string(1, "Key of the taint.", { required: true }),
  value: string(2, "Its value."),
  effect: string(3, "What happens to pods.", {
    required: true,
    enum: ["NoSchedule", "PreferNoSchedule", "NoExecute"],
  }),
  timeAdded: time(4, "When a NoExecute taint was set.", { pointer: true }),
});

const NODE_SPEC = message("io.k8s.api.core.v1.NodeSpec", "What is decided about a node.", {
  podCIDR: string(1, "Range of the addresses of its pods."),
  podCIDRs: list(
    7,
    "string",
    "Ranges of the addresses of its pods, at most one a family; the first equals podCIDR.",
    { patchStrategy: "merge", listType: "set" },
  ),
  providerID: string(3, "Id at the provider."),
  unschedulable: bool(4, "No new pods are to be placed here."),
  taints: list(5, TAINT, "Taints of the node.", { listType: "atomic" }),
  externalID: string(2, "No longer used."),
});

const NODE_CONDITION = message("io.k8s.api.core.v1.NodeCondition", "One observed aspect of a node.", {
  type: string(
    1,
    "What is observed: Ready, MemoryPressure, DiskPressure, PIDPressure, NetworkUnavailable, or another.",
    { required: true },
  ),
  status: string(2, "Whether it holds.", { required: true, enum: ["True", "False", "Unknown"] }),
  lastHeartbeatTime: time(3, "When it was last reported."),
  lastTransitionTime: time(4, "When the status last changed."),
  reason: string(5, "Machine-readable cause of the last change."),
  message: string(6, "The same for people."),
});

const NODE_ADDRESS = message("io.k8s.api.core.v1.NodeAddress", "One address of a node.", {
  type: string(1, "Hostname, InternalIP, ExternalIP, InternalDNS or ExternalDNS.", { required: true }),
  address: string(2, "The address.", { required: true }),
});

const DAEMON_ENDPOINT = message("io.k8s.api.core.v1.DaemonEndpoint", "A port of a daemon.", {
  Port: int32(1, "Port number.", { required: true }),
});

const NODE_DAEMON_ENDPOINTS = message(
  "io.k8s.api.core.v1.NodeDaemonEndpoints",
  "Ports of the node's daemons.",
  {
    kubeletEndpoint: ref(1, DAEMON_ENDPOINT, "Port of the kubelet."),
  },
);

const NODE_SWAP_STATUS = message("io.k8s.api.core.v1.NodeSwapStatus", "Swap of the node.", {
  capacity: int64(1, "How much swap there is, in bytes.", { pointer: true }),
});

const NODE_SYSTEM_INFO = message("io.k8s.api.core.v1.NodeSystemInfo", "What the node runs.", {
  machineID: string(1, "Id from /etc/machine-id.", { required: true }),
  systemUUID: string(2, "Id of the hardware.", { required: true }),
  bootID: string(3, "Id of this boot.", { required: true }),
  kernelVersion: string(4, "Version of the kernel.", { required: true }),
  osImage: string(5, "Name of the operating system.", { required: true }),
  containerRuntimeVersion: string(6, "Runtime and its version.", { required: true }),
  kubeletVersion: string(7, "Version of the node's agent.", { required: true }),
  kubeProxyVersion: string(8, "No longer used.", { required: true }),
  operatingSystem: string(9, "Operating system.", { required: true }),
  architecture: string(10, "Processor architecture.", { required: true }),
  swap: ref(11, NODE_SWAP_STATUS, "Swap.", { pointer: true }),
});

const CONTAINER_IMAGE = message("io.k8s.api.core.v1.ContainerImage", "An image on the node.", {
  names: list(1, "string", "Names of the image.", { required: true, listType: "atomic" }),
  sizeBytes: int64(2, "Its size."),
});

const ATTACHED_VOLUME = message("io.k8s.api.core.v1.AttachedVolume", "A volume attached to the node.", {
  name: string(1, "Name of the volume.", { required: true }),
  devicePath: string(2, "Its device.", { required: true }),
});

const NODE_RUNTIME_HANDLER_FEATURES = message(
  "io.k8s.api.core.v1.NodeRuntimeHandlerFeatures",
  "What a runtime can do.",
  {
    recursiveReadOnlyMounts: bool(1, "Recursive read-only mounts.", { pointer: true }),
    userNamespaces: bool(2, "User namespaces.", { pointer: true }),
  },
);

const NODE_RUNTIME_HANDLER = message("io.k8s.api.core.v1.NodeRuntimeHandler", "A runtime of the node.", {
  name: string(1, "Its name; empty is the default one.", { required: true }),
  features: ref(2, NODE_RUNTIME_HANDLER_FEATURES, "What it can do.", { pointer: true }),
});

const NODE_FEATURES = message("io.k8s.api.core.v1.NodeFeatures", "What the node can do.", {
  supplementalGroupsPolicy: bool(1, "Whether the Pod field of that name has an effect.", { pointer: true }),
});

const NODE_STATUS = message("io.k8s.api.core.v1.NodeStatus", "What is known of a node.", {
  capacity: map(1, "quantity", "Resources that it has."),
  allocatable: map(2, "quantity", "Resources that pods may use."),
  phase: string(3, "No longer used."),
  conditions: list(4, NODE_CONDITION, "Observed aspects.", {
    mergeKey: "type",
    listType: "map",
    listMapKeys: ["type"],
  }),
  addresses: list(5, NODE_ADDRESS, "Its addresses.", {
    mergeKey: "type",
    listType: "map",
    listMapKeys: ["type"],
  }),
  daemonEndpoints: ref(6, NODE_DAEMON_ENDPOINTS, "Ports of its daemons."),
  nodeInfo: ref(7, NODE_SYSTEM_INFO, "What it runs."),
  images: list(8, CONTAINER_IMAGE, "Images on it.", { listType: "atomic" }),
  volumesInUse: list(9, "string", "Volumes in use.", { listType: "atomic" }),
  volumesAttached: list(10, ATTACHED_VOLUME, "Volumes attached.", { listType: "atomic" }),
  runtimeHandlers: list(12, NODE_RUNTIME_HANDLER, "Its runtimes.", { listType: "atomic" }),
  features: ref(13, NODE_FEATURES, "What it can do.", { pointer: true }),
});

export const NODE = message("io.k8s.api.core.v1.Node", "A machine that runs an agent.", {
  metadata: META,
  spec: ref(2, NODE_SPEC, "What is decided about it."),
  status: ref(3, NODE_STATUS, "What is known of it."),
});
