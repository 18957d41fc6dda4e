/**
 * Layer control-plane. Schema of containers.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { bool, int32, list, map, message, ref, string } from "../../registry/schema.ts";
import {
  CONFIG_MAP_KEY_SELECTOR,
  LOCAL_OBJECT_REFERENCE,
  OBJECT_FIELD_SELECTOR,
  RESOURCE_FIELD_SELECTOR,
  SECRET_KEY_SELECTOR,
} from "../common/references.ts";
import { LIFECYCLE, PROBE } from "./probe-schema.ts";
import { SECURITY_CONTEXT } from "./security-schema.ts";

const CONTAINER_PORT = message(
  "io.k8s.api.core.v1.ContainerPort",
  "A port that the container serves. Services refer to it by its name.",
  {
    name: string(1, "Name of the port, unique within the Pod."),
    hostPort: int32(2, "Port of the node; equal to containerPort on the host network."),
    containerPort: int32(3, "Port number inside the Pod.", { required: true }),
    protocol: string(4, "Transport protocol.", { enum: ["TCP", "UDP", "SCTP"], default: "TCP" }),
    hostIP: string(5, "Address of the node to bind hostPort to."),
  },
);

const ENV_VAR_SOURCE = message(
  "io.k8s.api.core.v1.EnvVarSource",
  "Where a variable's value comes from: exactly one of its fields.",
  {
    fieldRef: ref(1, OBJECT_FIELD_SELECTOR, "A field of the Pod.", { pointer: true }),
    resourceFieldRef: ref(2, RESOURCE_FIELD_SELECTOR, "A resource amount of the container.", {
      pointer: true,
    }),
    configMapKeyRef: ref(3, CONFIG_MAP_KEY_SELECTOR, "A key of a ConfigMap.", { pointer: true }),
    secretKeyRef: ref(4, SECRET_KEY_SELECTOR, "A key of a Secret.", { pointer: true }),
  },
);

const ENV_VAR = message("io.k8s.api.core.v1.EnvVar", "One environment variable.", {
  name: string(1, "Name of the variable.", { required: true }),
  value: string(2, "Its value; $(NAME) refers to variables before it."),
  valueFrom: ref(3, ENV_VAR_SOURCE, "Where the value comes from, if it is not given here.", {
    pointer: true,
  }),
});

const CONFIG_MAP_ENV_SOURCE = message(
  "io.k8s.api.core.v1.ConfigMapEnvSource",
  "Takes all keys of a ConfigMap as variables.",
  {
    localObjectReference: ref(1, LOCAL_OBJECT_REFERENCE, "Which ConfigMap.", { inline: true }),
    optional: bool(2, "The ConfigMap may be missing.", { pointer: true }),
  },
);

const SECRET_ENV_SOURCE = message(
  "io.k8s.api.core.v1.SecretEnvSource",
  "Takes all keys of a Secret as variables.",
  {
    localObjectReference: ref(1, LOCAL_OBJECT_REFERENCE, "Which Secret.", { inline: true }),
    optional: bool(2, "The Secret may be missing.", { pointer: true }),
  },
);

const ENV_FROM_SOURCE = message("io.k8s.api.core.v1.EnvFromSource", "A whole set of variables.", {
  prefix: string(1, "Text put in front of each name."),
  configMapRef: ref(2, CONFIG_MAP_ENV_SOURCE, "A ConfigMap.", { pointer: true }),
  secretRef: ref(3, SECRET_ENV_SOURCE, "A Secret.", { pointer: true }),
});

const RESOURCE_CLAIM = message(
  "io.k8s.api.core.v1.ResourceClaim",
  "Refers to one of the Pod's resource claims.",
  {
    name: string(1, "Name of an entry of the Pod's resourceClaims.", { required: true }),
    request: string(2, "Request within the claim."),
  },
);

export const RESOURCE_REQUIREMENTS = message(
  "io.k8s.api.core.v1.ResourceRequirements",
  "Resources that a container needs and may use.",
  {
    limits: map(1, "quantity", "The most it may use."),
    requests: map(2, "quantity", "What is kept free for it."),
    claims: list(3, RESOURCE_CLAIM, "Claims that it uses.", { listType: "map", listMapKeys: ["name"] }),
  },
);

const CONTAINER_RESIZE_POLICY = message(
  "io.k8s.api.core.v1.ContainerResizePolicy",
  "What changing one resource does to the container.",
  {
    resourceName: string(1, "Which resource.", { required: true }),
    restartPolicy: string(2, "Whether the container must restart.", {
      required: true,
      enum: ["NotRequired", "RestartContainer"],
    }),
  },
);

const VOLUME_MOUNT = message("io.k8s.api.core.v1.VolumeMount", "Where a volume appears in a container.", {
  name: string(1, "Which of the Pod's volumes.", { required: true }),
  readOnly: bool(2, "Mount read-only."),
  recursiveReadOnly: string(7, "Whether mounts below are read-only too.", { pointer: true }),
  mountPath: string(3, "Path inside the container.", { required: true }),
  subPath: string(4, "Part of the volume to mount instead of its root."),
  mountPropagation: string(5, "How mounts pass between host and container.", { pointer: true }),
  subPathExpr: string(6, "Like subPath, with variables expanded."),
});

const VOLUME_DEVICE = message("io.k8s.api.core.v1.VolumeDevice", "A block device given to a container.", {
  name: string(1, "Which claim.", { required: true }),
  devicePath: string(2, "Path of the device inside the container.", { required: true }),
});

export const CONTAINER = message("io.k8s.api.core.v1.Container", "One program of a Pod.", {
  name: string(1, "Name, unique within the Pod; a DNS label.", { required: true }),
  image: string(2, "Image to run. Not used for workloads that already run on the machine."),
  command: list(3, "string", "Entry point instead of the image's own.", { listType: "atomic" }),
  args: list(4, "string", "Arguments instead of the image's own.", { listType: "atomic" }),
  workingDir: string(5, "Folder to start in."),
  ports: list(6, CONTAINER_PORT, "Ports that the container serves.", {
    mergeKey: "containerPort",
    listType: "map",
    listMapKeys: ["containerPort", "protocol"],
  }),
  envFrom: list(19, ENV_FROM_SOURCE, "Sets of environment variables.", { listType: "atomic" }),
  env: list(7, ENV_VAR, "Environment variables.", {
    mergeKey: "name",
    listType: "map",
    listMapKeys: ["name"],
  }),
  resources: ref(8, RESOURCE_REQUIREMENTS, "Resources needed and allowed."),
  resizePolicy: list(23, CONTAINER_RESIZE_POLICY, "What changing resources does.", { listType: "atomic" }),
  restartPolicy: string(24, "Always makes an init container a sidecar.", { pointer: true }),
  volumeMounts: list(9, VOLUME_MOUNT, "Volumes that appear in the container.", {
    mergeKey: "mountPath",
    listType: "map",
    listMapKeys: ["mountPath"],
  }),
  volumeDevices: list(21, VOLUME_DEVICE, "Block devices given to the container.", {
    mergeKey: "devicePath",
    listType: "map",
    listMapKeys: ["devicePath"],
  }),
  livenessProbe: ref(10, PROBE, "Restarts the container when it fails.", { pointer: true }),
  readinessProbe: ref(11, PROBE, "Takes the Pod out of Services while it fails.", { pointer: true }),
  startupProbe: ref(22, PROBE, "Holds the other probes back until it succeeds.", { pointer: true }),
  lifecycle: ref(12, LIFECYCLE, "Actions around start and stop.", { pointer: true }),
  terminationMessagePath: string(13, "File whose text becomes the termination message.", {
    default: "/dev/termination-log",
  }),
  terminationMessagePolicy: string(20, "Where the termination message comes from.", {
    enum: ["File", "FallbackToLogsOnError"],
    default: "File",
  }),
  imagePullPolicy: string(14, "When the image is pulled.", { enum: ["Always", "IfNotPresent", "Never"] }),
  securityContext: ref(15, SECURITY_CONTEXT, "Security settings.", { pointer: true }),
  stdin: bool(16, "Keep standard input open."),
  stdinOnce: bool(17, "Close standard input after the first client."),
  tty: bool(18, "Give the container a terminal."),
});

export const EPHEMERAL_CONTAINER = message(
  "io.k8s.api.core.v1.EphemeralContainer",
  "A container added to a running Pod for inspection.",
  {
    ephemeralContainerCommon: ref(1, CONTAINER, "The container.", { inline: true }),
    targetContainerName: string(2, "Container whose namespaces are shared."),
  },
);
