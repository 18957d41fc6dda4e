/**
 * Layer control-plane. Schema of PodSpec.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { bool, int32, int64, list, map, message, ref, string } from "../../registry/schema.ts";
import { LOCAL_OBJECT_REFERENCE } from "../common/references.ts";
import { CONTAINER, EPHEMERAL_CONTAINER, RESOURCE_REQUIREMENTS } from "./container-schema.ts";
import { AFFINITY, TOLERATION, TOPOLOGY_SPREAD_CONSTRAINT } from "./scheduling-schema.ts";
import { POD_SECURITY_CONTEXT } from "./security-schema.ts";
import { VOLUME } from "./volume-schema.ts";

const HOST_ALIAS = message("io.k8s.api.core.v1.HostAlias", "A line for the hosts file of the Pod.", {
  ip: string(1, "Address.", { required: true }),
  hostnames: list(2, "string", "Names for it.", { listType: "atomic" }),
});

const POD_DNS_CONFIG_OPTION = message("io.k8s.api.core.v1.PodDNSConfigOption", "One option of resolv.conf.", {
  name: string(1, "Option."),
  value: string(2, "Its value.", { pointer: true }),
});

const POD_DNS_CONFIG = message(
  "io.k8s.api.core.v1.PodDNSConfig",
  "Settings added to the Pod's resolv.conf.",
  {
    nameservers: list(1, "string", "Further name servers.", { listType: "atomic" }),
    searches: list(2, "string", "Further search domains.", { listType: "atomic" }),
    options: list(3, POD_DNS_CONFIG_OPTION, "Further options.", { listType: "atomic" }),
  },
);

const POD_READINESS_GATE = message(
  "io.k8s.api.core.v1.PodReadinessGate",
  "A condition that must hold for the Pod to be ready.",
  {
    conditionType: string(1, "Type of the condition.", { required: true }),
  },
);

const POD_OS = message("io.k8s.api.core.v1.PodOS", "Operating system that the Pod is made for.", {
  name: string(1, "linux or windows.", { required: true, enum: ["linux", "windows"] }),
});

const POD_SCHEDULING_GATE = message(
  "io.k8s.api.core.v1.PodSchedulingGate",
  "Something that holds scheduling back.",
  {
    name: string(1, "Name of the gate.", { required: true }),
  },
);

const POD_RESOURCE_CLAIM = message("io.k8s.api.core.v1.PodResourceClaim", "A resource claim of the Pod.", {
  name: string(1, "Name within the Pod.", { required: true }),
  resourceClaimName: string(3, "An existing claim.", { pointer: true }),
  resourceClaimTemplateName: string(4, "Template to make a claim from.", { pointer: true }),
});

export const POD_SPEC = message("io.k8s.api.core.v1.PodSpec", "What a Pod is made of and how it runs.", {
  volumes: list(1, VOLUME, "Volumes that containers may mount.", {
    mergeKey: "name",
    patchStrategy: "merge,retainKeys",
    listType: "map",
    listMapKeys: ["name"],
  }),
  initContainers: list(20, CONTAINER, "Containers that run before the others, in order.", {
    mergeKey: "name",
    listType: "map",
    listMapKeys: ["name"],
  }),
  containers: list(2, CONTAINER, "The containers; at least one.", {
    required: true,
    mergeKey: "name",
    listType: "map",
    listMapKeys: ["name"],
  }),
  ephemeralContainers: list(34, EPHEMERAL_CONTAINER, "Containers added for inspection.", {
    mergeKey: "name",
    listType: "map",
    listMapKeys: ["name"],
  }),
  restartPolicy: string(3, "When containers are started again.", {
    enum: ["Always", "OnFailure", "Never"],
    default: "Always",
  }),
  terminationGracePeriodSeconds: int64(4, "Seconds that the Pod gets to stop.", {
    pointer: true,
    default: 30,
  }),
  activeDeadlineSeconds: int64(5, "Seconds after which the Pod is failed.", { pointer: true }),
  dnsPolicy: string(6, "How names are resolved.", {
    enum: ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
    default: "ClusterFirst",
  }),
  nodeSelector: map(7, "string", "Labels that the node must have."),
  serviceAccountName: string(8, "Service account that the Pod runs as."),
  serviceAccount: string(9, "Old name of serviceAccountName."),
  automountServiceAccountToken: bool(21, "Whether a token is mounted.", { pointer: true }),
  nodeName: string(10, "Node that the Pod runs on."),
  hostNetwork: bool(11, "Use the node's network: the Pod's addresses are the node's."),
  hostPID: bool(12, "Use the node's process ids."),
  hostIPC: bool(13, "Use the node's IPC."),
  shareProcessNamespace: bool(27, "Share process ids between the containers.", { pointer: true }),
  securityContext: ref(14, POD_SECURITY_CONTEXT, "Security settings for all containers.", { pointer: true }),
  imagePullSecrets: list(15, LOCAL_OBJECT_REFERENCE, "Secrets for pulling images.", {
    mergeKey: "name",
    listType: "map",
    listMapKeys: ["name"],
  }),
  hostname: string(16, "Host name of the Pod."),
  subdomain: string(
    17,
    "With hostname: the Pod gets the name hostname.subdomain.namespace.svc.cluster-domain.",
  ),
  affinity: ref(18, AFFINITY, "Where the Pod may and should run.", { pointer: true }),
  schedulerName: string(19, "Which scheduler places the Pod.", { default: "default-scheduler" }),
  tolerations: list(22, TOLERATION, "Taints that the Pod puts up with.", { listType: "atomic" }),
  hostAliases: list(23, HOST_ALIAS, "Lines for the hosts file.", {
    mergeKey: "ip",
    listType: "map",
    listMapKeys: ["ip"],
  }),
  priorityClassName: string(24, "Name of the priority class."),
  priority: int32(25, "Priority; higher is more important.", { pointer: true }),
  dnsConfig: ref(26, POD_DNS_CONFIG, "Settings added to resolv.conf.", { pointer: true }),
  readinessGates: list(
    28,
    POD_READINESS_GATE,
    "Conditions that must hold besides the containers' readiness.",
    { listType: "atomic" },
  ),
  runtimeClassName: string(29, "Which runtime runs the Pod.", { pointer: true }),
  enableServiceLinks: bool(30, "Whether Services appear as environment variables.", {
    pointer: true,
    default: true,
  }),
  preemptionPolicy: string(31, "Whether the Pod may push out others.", {
    pointer: true,
    enum: ["PreemptLowerPriority", "Never"],
  }),
  overhead: map(32, "quantity", "Resources that the runtime itself needs."),
  topologySpreadConstraints: list(33, TOPOLOGY_SPREAD_CONSTRAINT, "How alike pods are spread.", {
    mergeKey: "topologyKey",
    listType: "map",
    listMapKeys: ["topologyKey", "whenUnsatisfiable"],
  }),
  setHostnameAsFQDN: bool(35, "Use the full name as host name.", { pointer: true }),
  os: ref(36, POD_OS, "Operating system that the Pod is made for.", { pointer: true }),
  hostUsers: bool(37, "Use the node's user ids.", { pointer: true }),
  schedulingGates: list(38, POD_SCHEDULING_GATE, "What holds scheduling back.", {
    mergeKey: "name",
    listType: "map",
    listMapKeys: ["name"],
  }),
  resourceClaims: list(39, POD_RESOURCE_CLAIM, "Resource claims of the Pod.", {
    mergeKey: "name",
    patchStrategy: "merge,retainKeys",
    listType: "map",
    listMapKeys: ["name"],
  }),
  resources: ref(40, RESOURCE_REQUIREMENTS, "Resources of the Pod as a whole.", { pointer: true }),
  hostnameOverride: string(41, "Host name instead of the one derived from the Pod.", { pointer: true }),
});
