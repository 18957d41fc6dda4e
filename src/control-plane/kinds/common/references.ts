/**
 * Layer control-plane. Schema of references from one object to others and to their keys.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { bool, message, quantity, ref, string } from "../../registry/schema.ts";

export const OBJECT_REFERENCE = message(
  "io.k8s.api.core.v1.ObjectReference",
  "Points at one object, or at a part of it.",
  {
    kind: string(1, "Kind of the object."),
    namespace: string(2, "Namespace of the object; empty for cluster-wide kinds."),
    name: string(3, "Name of the object."),
    uid: string(4, "UID of the object."),
    apiVersion: string(5, "Group and version of the object."),
    resourceVersion: string(6, "Revision of the object that is meant."),
    fieldPath: string(7, "Part of the object that is meant, such as spec.containers{web}."),
  },
);

export const LOCAL_OBJECT_REFERENCE = message(
  "io.k8s.api.core.v1.LocalObjectReference",
  "Names an object in the same namespace.",
  {
    name: string(1, "Name of the object."),
  },
);

export const CONFIG_MAP_KEY_SELECTOR = message(
  "io.k8s.api.core.v1.ConfigMapKeySelector",
  "One key of a ConfigMap in the same namespace.",
  {
    localObjectReference: ref(1, LOCAL_OBJECT_REFERENCE, "Which ConfigMap.", { inline: true }),
    key: string(2, "Key to take.", { required: true }),
    optional: bool(3, "The ConfigMap or the key may be missing.", { pointer: true }),
  },
);

export const SECRET_KEY_SELECTOR = message(
  "io.k8s.api.core.v1.SecretKeySelector",
  "One key of a Secret in the same namespace.",
  {
    localObjectReference: ref(1, LOCAL_OBJECT_REFERENCE, "Which Secret.", { inline: true }),
    key: string(2, "Key to take.", { required: true }),
    optional: bool(3, "The Secret or the key may be missing.", { pointer: true }),
  },
);

export const OBJECT_FIELD_SELECTOR = message(
  "io.k8s.api.core.v1.ObjectFieldSelector",
  "One field of the Pod itself.",
  {
    apiVersion: string(1, "Version in which the path is written; v1 if empty."),
    fieldPath: string(2, "Path of the field, such as metadata.name.", { required: true }),
  },
);

export const RESOURCE_FIELD_SELECTOR = message(
  "io.k8s.api.core.v1.ResourceFieldSelector",
  "One resource amount of a container.",
  {
    containerName: string(1, "Container whose amount is meant; needed in volumes."),
    resource: string(2, "Resource, such as limits.cpu.", { required: true }),
    divisor: quantity(3, "Unit in which the amount is given; 1 if empty."),
  },
);
