/**
 * Layer agent. Reads the documents of a configuration file into field values: KubeProxyConfiguration and
 * AgentConfiguration, at most one of each, in any order. Every mistake is one line with file, field and what is allowed.
 */
import { NodeplaneError } from "../../model/errors.ts";
import { AGENT_FIELDS } from "./agent-fields.ts";
import type { Field, FieldValues } from "./field.ts";
import { parseDurationMs } from "./field-types.ts";
import { KUBE_PROXY_FIELDS } from "./kube-proxy-fields.ts";
import { parseYaml } from "./yaml-text.ts";

const MAX_BYTES = 1 << 20;
const MAX_SHOWN = 60;

const KINDS: readonly {
  readonly apiVersion: string;
  readonly kind: string;
  readonly fields: readonly Field<unknown>[];
}[] = [
  {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    fields: KUBE_PROXY_FIELDS,
  },
  { apiVersion: "nodeplane.dev/v1alpha1", kind: "AgentConfiguration", fields: AGENT_FIELDS },
];

/** The error for one bad place: `where` is a file or a flag, `field` a path inside the file. */
export function configError(where: string, field: string, detail: string): NodeplaneError {
  return new NodeplaneError("CONFIG_INVALID", {
    path: field === "" ? where : `${where}: ${field}`,
    detail,
  });
}

/** A value as an error shows it: short, on one line. */
export function shown(value: unknown): string {
  const textual = JSON.stringify(value) ?? String(value);
  return textual.length > MAX_SHOWN ? `${textual.slice(0, MAX_SHOWN)}…` : textual;
}

/**
 * Adds what `text` says to `values`.
 * @throws {NodeplaneError} CONFIG_INVALID for the first mistake
 */
export function readDocuments(file: string, text: string, values: FieldValues): void {
  if (text.length > MAX_BYTES) throw configError(file, "", "larger than 1 MiB");
  const seen = new Set<string>();
  for (const value of parse(file, text)) {
    if (value !== null) readDocument(file, value, values, seen);
  }
}

function parse(file: string, text: string): readonly unknown[] {
  try {
    return parseYaml(text);
  } catch (error) {
    throw configError(file, "", (error as Error).message);
  }
}

function readDocument(file: string, value: unknown, values: FieldValues, seen: Set<string>): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw configError(file, "", "a document must be a map of fields");
  }
  const root = value as Readonly<Record<string, unknown>>; // a YAML map
  const known = KINDS.find((entry) => entry.apiVersion === root["apiVersion"] && entry.kind === root["kind"]);
  if (known === undefined) {
    const allowed = KINDS.map((entry) => `${entry.apiVersion} ${entry.kind}`).join(" or ");
    const found = `${shown(root["apiVersion"])} ${shown(root["kind"])}`;
    throw configError(file, "apiVersion and kind", `found ${found}; allowed: ${allowed}`);
  }
  if (seen.has(known.kind)) throw configError(file, "kind", `a second ${known.kind}; allowed: one`);
  seen.add(known.kind);
  const context = { file, fields: known.fields, values };
  for (const [key, part] of Object.entries(root)) {
    if (key !== "apiVersion" && key !== "kind" && key !== "metadata") readValue(context, key, part);
  }
}

interface ReadContext {
  readonly file: string;
  readonly fields: readonly Field<unknown>[];
  readonly values: FieldValues;
}

function readValue(context: ReadContext, path: string, value: unknown): void {
  const field = context.fields.find((candidate) => candidate.path === path);
  if (field !== undefined) {
    if (value === null) return; // Go's decoder leaves the default
    if (field.zeroIsDefault === true && isZero(value)) return;
    const checked = field.type.check(value);
    if (!checked.ok) {
      throw configError(context.file, path, `${shown(value)} is not allowed; allowed: ${field.type.allowed}`);
    }
    context.values.set(field, checked.value);
    return;
  }
  const inside = context.fields.filter((candidate) => candidate.path.startsWith(`${path}.`));
  if (inside.length === 0) {
    throw configError(context.file, path, `unknown field; allowed: ${siblings(context.fields, path)}`);
  }
  if (value === null) return;
  if (typeof value !== "object" || Array.isArray(value)) {
    throw configError(context.file, path, `${shown(value)} is not allowed; allowed: a map of fields`);
  }
  for (const [key, part] of Object.entries(value as object)) readValue(context, `${path}.${key}`, part);
}

/** What a marshalled Go configuration writes for a value that was never set. */
function isZero(value: unknown): boolean {
  return value === "" || value === 0 || (typeof value === "string" && parseDurationMs(value) === 0);
}

/** Names of the fields beside `path`. */
function siblings(fields: readonly Field<unknown>[], path: string): string {
  const prefix = path.includes(".") ? path.slice(0, path.lastIndexOf(".") + 1) : "";
  const names = fields
    .filter((field) => field.path.startsWith(prefix))
    .map((field) => field.path.slice(prefix.length).split(".")[0] ?? "");
  return [...new Set(names)].toSorted().join(", ");
}
