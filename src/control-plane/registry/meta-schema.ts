/** Layer control-plane. Schemas of metadata and of the machinery's own messages (apimachinery meta/v1 generated.proto). */
import { anyJson, bool, int32, int64, list, map, message, ref, string, time } from "./schema.ts";

const NAME = "io.k8s.apimachinery.pkg.apis.meta.v1";

export const OWNER_REFERENCE = message(
  `${NAME}.OwnerReference`,
  "OwnerReference contains enough information to let you identify an owning object. An owning object must be in the same namespace as the dependent, or be cluster-scoped, so there is no namespace field.",
  {
    apiVersion: string(5, "API version of the referent.", { required: true }),
    kind: string(1, "Kind of the referent.", { required: true }),
    name: string(3, "Name of the referent.", { required: true }),
    uid: string(4, "UID of the referent.", { required: true }),
    controller: bool(6, "If true, this reference points to the managing controller.", { pointer: true }),
    blockOwnerDeletion: bool(
      7,
      "If true, AND if the owner has the foregroundDeletion finalizer, then the owner cannot be deleted from the key-value store until this reference is removed.",
      { pointer: true },
    ),
  },
);

const MANAGED_FIELDS = message(
  `${NAME}.ManagedFieldsEntry`,
  "ManagedFieldsEntry is a workflow-id, a FieldSet and the group version of the resource that the fieldset applies to.",
  {
    manager: string(1, "Manager is an identifier of the workflow managing these fields."),
    operation: string(2, "Operation is the type of operation which lead to this entry being created."),
    apiVersion: string(3, "APIVersion defines the version of this resource that this field set applies to."),
    time: time(4, "Time is the timestamp of when the entry was added.", { pointer: true }),
    fieldsType: string(6, "FieldsType is the discriminator for the different fields format."),
    fieldsV1: anyJson(7, "FieldsV1 holds the first JSON version format.", { pointer: true }),
    subresource: string(8, "Subresource is the name of the subresource used to update that object."),
  },
);

export const OBJECT_META = message(
  `${NAME}.ObjectMeta`,
  "ObjectMeta is metadata that all persisted resources must have, which includes all objects users must create.",
  {
    name: string(1, "Name must be unique within a namespace. Cannot be updated."),
    generateName: string(
      2,
      "GenerateName is an optional prefix, used by the server, to generate a unique name ONLY IF the Name field has not been provided.",
    ),
    namespace: string(3, "Namespace defines the space within which each name must be unique."),
    selfLink: string(4, "Deprecated: selfLink is a legacy read-only field that is no longer populated."),
    uid: string(5, "UID is the unique in time and space value for this object. Populated by the system."),
    resourceVersion: string(
      6,
      "An opaque value that represents the internal version of this object that can be used by clients to determine when objects have changed.",
    ),
    generation: int64(7, "A sequence number representing a specific generation of the desired state."),
    creationTimestamp: time(
      8,
      "CreationTimestamp is a timestamp representing the server time when this object was created.",
    ),
    deletionTimestamp: time(
      9,
      "DeletionTimestamp is RFC 3339 date and time at which this resource will be deleted.",
      { pointer: true },
    ),
    deletionGracePeriodSeconds: int64(
      10,
      "Number of seconds allowed for this object to gracefully terminate before it will be removed from the system.",
      { pointer: true },
    ),
    labels: map(
      11,
      "string",
      "Map of string keys and values that can be used to organize and categorize (scope and select) objects.",
    ),
    annotations: map(
      12,
      "string",
      "Annotations is an unstructured key value map stored with a resource that may be set by external tools to store and retrieve arbitrary metadata.",
    ),
    ownerReferences: list(13, OWNER_REFERENCE, "List of objects depended by this object.", {
      mergeKey: "uid",
      listType: "map",
      listMapKeys: ["uid"],
    }),
    finalizers: list(
      14,
      "string",
      "Must be empty before the object is deleted from the registry. Each entry is an identifier for the responsible component that will remove the entry from the list.",
      { patchStrategy: "merge", listType: "set" },
    ),
    managedFields: list(
      17,
      MANAGED_FIELDS,
      "ManagedFields maps workflow-id and version to the set of fields that are managed by that workflow. Not kept by this server.",
      { listType: "atomic" },
    ),
  },
);

/** The `metadata` field of a top-level kind. */
export const META = ref(1, OBJECT_META, "Standard object's metadata.");

const SELECTOR_REQUIREMENT = message(
  `${NAME}.LabelSelectorRequirement`,
  "A label selector requirement is a selector that contains values, a key, and an operator that relates the key and values.",
  {
    key: string(1, "key is the label key that the selector applies to.", { required: true }),
    operator: string(2, "operator represents a key's relationship to a set of values.", {
      required: true,
      enum: ["In", "NotIn", "Exists", "DoesNotExist"],
    }),
    values: list(3, "string", "values is an array of string values.", { listType: "atomic" }),
  },
);

export const LABEL_SELECTOR = message(
  `${NAME}.LabelSelector`,
  "A label selector is a label query over a set of resources. The result of matchLabels and matchExpressions are ANDed.",
  {
    matchLabels: map(1, "string", "matchLabels is a map of {key,value} pairs."),
    matchExpressions: list(
      2,
      SELECTOR_REQUIREMENT,
      "matchExpressions is a list of label selector requirements.",
      {
        listType: "atomic",
      },
    ),
  },
);

export const CONDITION = message(
  `${NAME}.Condition`,
  "Condition contains details for one aspect of the current state of this API Resource.",
  {
    type: string(1, "type of condition in CamelCase or in foo.example.com/CamelCase.", { required: true }),
    status: string(2, "status of the condition, one of True, False, Unknown.", { required: true }),
    observedGeneration: int64(
      3,
      "observedGeneration represents the .metadata.generation that the condition was set based upon.",
    ),
    lastTransitionTime: time(
      4,
      "lastTransitionTime is the last time the condition transitioned from one status to another.",
      { required: true },
    ),
    reason: string(
      5,
      "reason contains a programmatic identifier indicating the reason for the condition's last transition.",
      { required: true },
    ),
    message: string(6, "message is a human readable message indicating details about the transition.", {
      required: true,
    }),
  },
);

const PRECONDITIONS = message(
  `${NAME}.Preconditions`,
  "Preconditions must be fulfilled before an operation is carried out.",
  {
    uid: string(1, "Specifies the target UID.", { pointer: true }),
    resourceVersion: string(2, "Specifies the target ResourceVersion.", { pointer: true }),
  },
);

export const DELETE_OPTIONS = message(
  `${NAME}.DeleteOptions`,
  "DeleteOptions may be provided when deleting an API object.",
  {
    gracePeriodSeconds: int64(1, "The duration in seconds before the object should be deleted.", {
      pointer: true,
    }),
    preconditions: ref(2, PRECONDITIONS, "Must be fulfilled before a deletion is carried out.", {
      pointer: true,
    }),
    orphanDependents: bool(3, "Deprecated: please use the PropagationPolicy.", { pointer: true }),
    propagationPolicy: string(4, "Whether and how garbage collection will be performed.", {
      pointer: true,
      enum: ["Orphan", "Background", "Foreground"],
    }),
    dryRun: list(5, "string", "When present, indicates that modifications should not be persisted.", {
      listType: "atomic",
    }),
    ignoreStoreReadErrorWithClusterBreakingPotential: bool(6, "Ignored.", { pointer: true }),
  },
);

const SCALE_SPEC = message(
  "io.k8s.api.autoscaling.v1.ScaleSpec",
  "ScaleSpec describes the attributes of a scale subresource.",
  {
    replicas: int32(1, "replicas is the desired number of instances for the scaled object."),
  },
);
const SCALE_STATUS = message(
  "io.k8s.api.autoscaling.v1.ScaleStatus",
  "ScaleStatus represents the current status of a scale subresource.",
  {
    replicas: int32(1, "replicas is the actual number of observed instances of the scaled object.", {
      required: true,
    }),
    selector: string(2, "selector is the label query over pods that should match the replicas count."),
  },
);
export const SCALE = message(
  "io.k8s.api.autoscaling.v1.Scale",
  "Scale represents a scaling request for a resource.",
  {
    metadata: META,
    spec: ref(2, SCALE_SPEC, "spec defines the behavior of the scale."),
    status: ref(3, SCALE_STATUS, "status is the current status of the scale. Read-only."),
  },
);
