/**
 * Layer control-plane. Schema of volumes in the forms that plain machines use; drivers of cloud disks are left out.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { bool, int32, int64, list, map, message, quantity, ref, string } from "../../registry/schema.ts";
import {
  LOCAL_OBJECT_REFERENCE,
  OBJECT_FIELD_SELECTOR,
  RESOURCE_FIELD_SELECTOR,
} from "../common/references.ts";

const KEY_TO_PATH = message("io.k8s.api.core.v1.KeyToPath", "Puts one key into one file.", {
  key: string(1, "Key to take.", { required: true }),
  path: string(2, 'File relative to the mount; no "..".', { required: true }),
  mode: int32(3, "File mode bits instead of the volume's default.", { pointer: true }),
});

const HOST_PATH_VOLUME_SOURCE = message("io.k8s.api.core.v1.HostPathVolumeSource", "A path of the node.", {
  path: string(1, "The path.", { required: true }),
  type: string(2, "What must be there before the mount; empty checks nothing.", { pointer: true }),
});

const EMPTY_DIR_VOLUME_SOURCE = message(
  "io.k8s.api.core.v1.EmptyDirVolumeSource",
  "An empty folder that lives as long as the Pod.",
  {
    medium: string(1, "Empty for the node's disk, Memory for tmpfs."),
    sizeLimit: quantity(2, "How much it may hold.", { pointer: true }),
  },
);

const SECRET_VOLUME_SOURCE = message(
  "io.k8s.api.core.v1.SecretVolumeSource",
  "The keys of a Secret as files.",
  {
    secretName: string(1, "Which Secret."),
    items: list(2, KEY_TO_PATH, "Only these keys, at these paths.", { listType: "atomic" }),
    defaultMode: int32(3, "Mode bits of the files.", { pointer: true, default: 420 }),
    optional: bool(4, "The Secret or its keys may be missing.", { pointer: true }),
  },
);

const CONFIG_MAP_VOLUME_SOURCE = message(
  "io.k8s.api.core.v1.ConfigMapVolumeSource",
  "The keys of a ConfigMap as files.",
  {
    localObjectReference: ref(1, LOCAL_OBJECT_REFERENCE, "Which ConfigMap.", { inline: true }),
    items: list(2, KEY_TO_PATH, "Only these keys, at these paths.", { listType: "atomic" }),
    defaultMode: int32(3, "Mode bits of the files.", { pointer: true, default: 420 }),
    optional: bool(4, "The ConfigMap or its keys may be missing.", { pointer: true }),
  },
);

const NFS_VOLUME_SOURCE = message("io.k8s.api.core.v1.NFSVolumeSource", "An NFS export.", {
  server: string(1, "Host name or address of the server.", { required: true }),
  path: string(2, "Path that the server exports.", { required: true }),
  readOnly: bool(3, "Mount read-only."),
});

const PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE = message(
  "io.k8s.api.core.v1.PersistentVolumeClaimVolumeSource",
  "Uses a claim of the same namespace.",
  {
    claimName: string(1, "Which claim.", { required: true }),
    readOnly: bool(2, "Mount read-only."),
  },
);

const DOWNWARD_API_VOLUME_FILE = message(
  "io.k8s.api.core.v1.DownwardAPIVolumeFile",
  "One file that holds a fact about the Pod.",
  {
    path: string(1, "File relative to the mount.", { required: true }),
    fieldRef: ref(2, OBJECT_FIELD_SELECTOR, "Field of the Pod.", { pointer: true }),
    resourceFieldRef: ref(3, RESOURCE_FIELD_SELECTOR, "Resource amount of a container.", { pointer: true }),
    mode: int32(4, "File mode bits instead of the volume's default.", { pointer: true }),
  },
);

const DOWNWARD_API_VOLUME_SOURCE = message(
  "io.k8s.api.core.v1.DownwardAPIVolumeSource",
  "Facts about the Pod as files.",
  {
    items: list(1, DOWNWARD_API_VOLUME_FILE, "The files.", { listType: "atomic" }),
    defaultMode: int32(2, "Mode bits of the files.", { pointer: true, default: 420 }),
  },
);

const SECRET_PROJECTION = message(
  "io.k8s.api.core.v1.SecretProjection",
  "A Secret inside a projected volume.",
  {
    localObjectReference: ref(1, LOCAL_OBJECT_REFERENCE, "Which Secret.", { inline: true }),
    items: list(2, KEY_TO_PATH, "Only these keys, at these paths.", { listType: "atomic" }),
    optional: bool(4, "The Secret or its keys may be missing.", { pointer: true }),
  },
);

const CONFIG_MAP_PROJECTION = message(
  "io.k8s.api.core.v1.ConfigMapProjection",
  "A ConfigMap inside a projected volume.",
  {
    localObjectReference: ref(1, LOCAL_OBJECT_REFERENCE, "Which ConfigMap.", { inline: true }),
    items: list(2, KEY_TO_PATH, "Only these keys, at these paths.", { listType: "atomic" }),
    optional: bool(4, "The ConfigMap or its keys may be missing.", { pointer: true }),
  },
);

const DOWNWARD_API_PROJECTION = message(
  "io.k8s.api.core.v1.DownwardAPIProjection",
  "Facts about the Pod inside a projected volume.",
  {
    items: list(1, DOWNWARD_API_VOLUME_FILE, "The files.", { listType: "atomic" }),
  },
);

const SERVICE_ACCOUNT_TOKEN_PROJECTION = message(
  "io.k8s.api.core.v1.ServiceAccountTokenProjection",
  "A token of the Pod's service account.",
  {
    audience: string(1, "Whom the token is meant for."),
    expirationSeconds: int64(2, "Seconds that the token is valid.", { pointer: true, default: 3600 }),
    path: string(3, "File relative to the mount.", { required: true }),
  },
);

const VOLUME_PROJECTION = message(
  "io.k8s.api.core.v1.VolumeProjection",
  "One source of a projected volume: exactly one of its fields.",
  {
    secret: ref(1, SECRET_PROJECTION, "A Secret.", { pointer: true }),
    downwardAPI: ref(2, DOWNWARD_API_PROJECTION, "Facts about the Pod.", { pointer: true }),
    configMap: ref(3, CONFIG_MAP_PROJECTION, "A ConfigMap.", { pointer: true }),
    serviceAccountToken: ref(4, SERVICE_ACCOUNT_TOKEN_PROJECTION, "A service account token.", {
      pointer: true,
    }),
  },
);

const PROJECTED_VOLUME_SOURCE = message(
  "io.k8s.api.core.v1.ProjectedVolumeSource",
  "Several sources in one folder.",
  {
    sources: list(1, VOLUME_PROJECTION, "The sources.", { required: true, listType: "atomic" }),
    defaultMode: int32(2, "Mode bits of the files.", { pointer: true, default: 420 }),
  },
);

const CSI_VOLUME_SOURCE = message(
  "io.k8s.api.core.v1.CSIVolumeSource",
  "A volume of a CSI driver that lives with the Pod.",
  {
    driver: string(1, "Name of the driver.", { required: true }),
    readOnly: bool(2, "Mount read-only.", { pointer: true }),
    fsType: string(3, "File system to mount.", { pointer: true }),
    volumeAttributes: map(4, "string", "Parameters for the driver."),
    nodePublishSecretRef: ref(5, LOCAL_OBJECT_REFERENCE, "Secret handed to the driver.", { pointer: true }),
  },
);

const VOLUME_SOURCE = message(
  "io.k8s.api.core.v1.VolumeSource",
  "Where a volume comes from: exactly one of its fields.",
  {
    hostPath: ref(1, HOST_PATH_VOLUME_SOURCE, "A path of the node.", { pointer: true }),
    emptyDir: ref(2, EMPTY_DIR_VOLUME_SOURCE, "An empty folder.", { pointer: true }),
    secret: ref(6, SECRET_VOLUME_SOURCE, "A Secret.", { pointer: true }),
    nfs: ref(7, NFS_VOLUME_SOURCE, "An NFS export.", { pointer: true }),
    persistentVolumeClaim: ref(10, PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE, "A claim.", { pointer: true }),
    downwardAPI: ref(16, DOWNWARD_API_VOLUME_SOURCE, "Facts about the Pod.", { pointer: true }),
    configMap: ref(19, CONFIG_MAP_VOLUME_SOURCE, "A ConfigMap.", { pointer: true }),
    projected: ref(26, PROJECTED_VOLUME_SOURCE, "Several sources in one folder.", { pointer: true }),
    csi: ref(28, CSI_VOLUME_SOURCE, "A CSI driver.", { pointer: true }),
  },
);

export const VOLUME = message(
  "io.k8s.api.core.v1.Volume",
  "A named volume that containers of the Pod may mount.",
  {
    name: string(1, "Name, unique within the Pod.", { required: true }),
    volumeSource: ref(2, VOLUME_SOURCE, "Where it comes from.", { inline: true }),
  },
);
