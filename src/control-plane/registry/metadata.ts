/** Layer control-plane. Checks of metadata, the same for all kinds (apimachinery api/validation/objectmeta.go). */
import { duplicate, type FieldError, forbidden, invalid, required, tooLong } from "./field-error.ts";
import type { ApiObject, ObjectMeta } from "./json.ts";
import type { Kind } from "./kind.ts";
import { labelName, labelValue, qualifiedName, subdomainName } from "./names.ts";

const STANDARD_FINALIZERS: ReadonlySet<string> = new Set(["kubernetes", "orphan", "foregroundDeletion"]);
const MAX_ANNOTATIONS_BYTES = 256 * 1024;

/** Everything about metadata that does not need the stored object. */
export function validateMetadata(kind: Kind, metadata: ObjectMeta): readonly FieldError[] {
  const checkName = kind.validateName ?? subdomainName;
  const errors: FieldError[] = [];
  if (metadata.generateName !== undefined && metadata.generateName !== "") {
    const { generateName } = metadata;
    errors.push(
      ...checkName(generateName, true).map((text) => invalid("metadata.generateName", generateName, text)),
    );
  }
  const name = metadata.name ?? "";
  if (name === "") errors.push(required("metadata.name", "name or generateName is required"));
  else errors.push(...checkName(name, false).map((text) => invalid("metadata.name", name, text)));
  if (kind.namespaced) {
    const namespace = metadata.namespace ?? "";
    if (namespace === "") errors.push(required("metadata.namespace"));
    else {
      errors.push(
        ...labelName(namespace, false).map((text) => invalid("metadata.namespace", namespace, text)),
      );
    }
  } else if (metadata.namespace !== undefined && metadata.namespace !== "") {
    errors.push(forbidden("metadata.namespace", "not allowed on this type"));
  }
  return [
    ...errors,
    ...validateLabels(metadata.labels ?? {}, "metadata.labels"),
    ...validateAnnotations(metadata.annotations ?? {}),
    ...validateOwners(metadata),
    ...validateFinalizers(metadata.finalizers ?? []),
  ];
}

/** Also for label maps elsewhere in an object (selectors, template labels). */
export function validateLabels(
  labels: Readonly<Record<string, string>>,
  field: string,
): readonly FieldError[] {
  return Object.entries(labels).flatMap(([key, value]) => [
    ...qualifiedName(key).map((text) => invalid(field, key, text)),
    ...labelValue(value).map((text) => invalid(field, value, text)),
  ]);
}

function validateAnnotations(annotations: Readonly<Record<string, string>>): readonly FieldError[] {
  const errors: FieldError[] = [];
  let size = 0;
  for (const [key, value] of Object.entries(annotations)) {
    errors.push(
      ...qualifiedName(key.toLowerCase()).map((text) => invalid("metadata.annotations", key, text)),
    );
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (size > MAX_ANNOTATIONS_BYTES) errors.push(tooLong("metadata.annotations", MAX_ANNOTATIONS_BYTES));
  return errors;
}

function validateOwners({ ownerReferences = [] }: ObjectMeta): readonly FieldError[] {
  const errors: FieldError[] = [];
  for (const [index, owner] of ownerReferences.entries()) {
    const at = `metadata.ownerReferences[${index}]`;
    for (const name of ["apiVersion", "kind", "name", "uid"] as const) {
      if ((owner[name] ?? "") === "") errors.push(invalid(`${at}.${name}`, "", `${name} must not be empty`));
    }
  }
  const controllers = ownerReferences.filter(({ controller }) => controller === true);
  if (controllers.length > 1) {
    const [first, second] = controllers;
    const text = `Only one reference can have Controller set to true. Found "true" in references for ${first?.kind}/${first?.name} and ${second?.kind}/${second?.name}`;
    errors.push(invalid("metadata.ownerReferences", ownerReferences, text));
  }
  return errors;
}

function validateFinalizers(finalizers: readonly string[]): readonly FieldError[] {
  const seen = new Set<string>();
  return finalizers.flatMap((finalizer, index) => {
    const at = `metadata.finalizers[${index}]`;
    const problems = qualifiedName(finalizer).map((text) => invalid("metadata.finalizers", finalizer, text));
    if (!finalizer.includes("/") && !STANDARD_FINALIZERS.has(finalizer))
      problems.push(
        invalid(at, finalizer, "name is neither a standard finalizer name nor is it fully qualified"),
      );
    if (seen.has(finalizer)) return [...problems, duplicate(at, finalizer)];
    seen.add(finalizer);
    return problems;
  });
}

/** What an update must not do to metadata. Server-owned fields have been taken back from `old` already. */
export function validateMetadataUpdate(object: ApiObject, old: ApiObject): readonly FieldError[] {
  if (old.metadata.deletionTimestamp === undefined) return [];
  const before = new Set(old.metadata.finalizers ?? []);
  const added = (object.metadata.finalizers ?? []).filter((finalizer) => !before.has(finalizer));
  if (added.length === 0) return [];
  const text = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((name) => JSON.stringify(name)).join(", ")}}`;
  return [forbidden("metadata.finalizers", text)];
}
