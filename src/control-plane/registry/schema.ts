/**
 * Layer control-plane. The schema language in which kinds describe their fields. One description gives strict
 * validation, OpenAPI v3 and v2, protobuf decoding and encoding, strategic merge patches and `kubectl explain`.
 * Field numbers and pointer facts: staging/src/k8s.io/api/<group>/<version>/generated.proto and types.go.
 *
 * Field order in a message is the order of documentation; protobuf numbers are the contract with clients.
 */
import type { Json } from "./json.ts";

export type Scalar =
  | "string"
  | "bool"
  | "int32"
  | "int64"
  | "double"
  /** base64 text in JSON. */
  | "bytes"
  /** RFC 3339 seconds in JSON, `{seconds, nanos}` in protobuf. */
  | "time"
  /** RFC 3339 with six decimals. */
  | "microTime"
  | "intOrString"
  | "quantity"
  /** Any JSON; in protobuf a message `{1: bytes}` holding JSON text. */
  | "any";

export type Type =
  | { readonly type: Scalar }
  | { readonly type: "list"; readonly of: Type }
  /** Keys are strings. */
  | { readonly type: "map"; readonly of: Type }
  | { readonly type: "message"; readonly message: () => Message };

export interface FieldOptions {
  /**
   * The Go field is a pointer: an explicit zero ("" / 0 / false / {}) is meaningful and kept when a protobuf body is
   * decoded. Zeros of other fields are dropped. Messages that are pointers in Go must say so too, else an empty
   * message in a protobuf body is dropped.
   */
  readonly pointer?: boolean;
  /** Listed under `required` in OpenAPI; whether it is really there is checked by the kind's validation. */
  readonly required?: boolean;
  /** Documented values. The schema does not refuse others: the kind's validation does, with upstream's message. */
  readonly enum?: readonly string[];
  /** Documented default. Set by the kind's defaulting, not by the schema. */
  readonly default?: Json;
  /** Embedded Go struct: a sub-message in protobuf whose fields stand in the parent in JSON. */
  readonly inline?: boolean;
  /** Strategic merge: list of maps merged by this key (`x-kubernetes-patch-merge-key`); implies strategy merge. */
  readonly mergeKey?: string;
  /** Strategic merge strategy when it is not just implied by `mergeKey`: lists default to replace, maps to merge. */
  readonly patchStrategy?: "merge" | "replace" | "retainKeys" | "merge,retainKeys";
  readonly listType?: "atomic" | "set" | "map";
  readonly listMapKeys?: readonly string[];
  readonly mapType?: "atomic" | "granular";
  readonly format?: string;
}

export interface Field extends FieldOptions {
  readonly number: number;
  readonly value: Type;
  readonly description: string;
}

export interface Message {
  /** OpenAPI name without prefix dots changed: `io.k8s.api.core.v1.ServicePort`. Unique. */
  readonly name: string;
  readonly description: string;
  readonly fields: Readonly<Record<string, Field>>;
}

/** Declares a message. */
export function message(name: string, description: string, fields: Record<string, Field>): Message {
  return { name, description, fields };
}

type Make = (number: number, description: string, options?: FieldOptions) => Field;
const scalar = (type: Scalar): Make => {
  return (number, description, options = {}) => ({ number, description, value: { type }, ...options });
};

export const string = scalar("string");
export const bool = scalar("bool");
export const int32 = scalar("int32");
export const int64 = scalar("int64");
export const bytes = scalar("bytes");
export const time = scalar("time");
export const microTime = scalar("microTime");
export const intOrString = scalar("intOrString");
export const quantity = scalar("quantity");
export const anyJson = scalar("any");

/** A field holding another message; a function where messages refer to each other. */
export function ref(
  number: number,
  of: Message | (() => Message),
  description: string,
  options: FieldOptions = {},
): Field {
  return { number, description, value: toType(of), ...options };
}

/** A repeated field. */
export function list(
  number: number,
  of: Scalar | Message | (() => Message),
  description: string,
  options: FieldOptions = {},
): Field {
  return { number, description, value: { type: "list", of: toType(of) }, ...options };
}

/** A map with string keys. */
export function map(
  number: number,
  of: Scalar | Message | (() => Message),
  description: string,
  options: FieldOptions = {},
): Field {
  return { number, description, value: { type: "map", of: toType(of) }, ...options };
}

function toType(of: Scalar | Message | (() => Message)): Type {
  if (typeof of === "string") return { type: of };
  return { type: "message", message: typeof of === "function" ? of : () => of };
}

/** The field of `message` that JSON calls `name`, looking through inlined sub-messages. */
export function fieldOf(within: Message, name: string): Field | undefined {
  // Names come from clients: "constructor" must not find what every object inherits.
  const own = Object.hasOwn(within.fields, name) ? within.fields[name] : undefined;
  if (own !== undefined && own.inline !== true) return own;
  for (const field of Object.values(within.fields)) {
    if (field.inline !== true || field.value.type !== "message") continue;
    const found = fieldOf(field.value.message(), name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** All fields as JSON shows them, inlined ones in place. */
export function jsonFields(within: Message): readonly (readonly [string, Field])[] {
  return Object.entries(within.fields).flatMap(([name, field]) =>
    field.inline === true && field.value.type === "message"
      ? jsonFields(field.value.message())
      : [[name, field] as const],
  );
}
