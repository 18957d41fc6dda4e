/**
 * Layer control-plane. Field errors as validation returns them, with the message grammar of
 * staging/src/k8s.io/apimachinery/pkg/util/validation/field/errors.go: kubectl prints these texts.
 */
import type { Json } from "./json.ts";

const TYPES = {
  Required: ["FieldValueRequired", "Required value"],
  Invalid: ["FieldValueInvalid", "Invalid value"],
  Duplicate: ["FieldValueDuplicate", "Duplicate value"],
  Forbidden: ["FieldValueForbidden", "Forbidden"],
  NotSupported: ["FieldValueNotSupported", "Unsupported value"],
  NotFound: ["FieldValueNotFound", "Not found"],
  TooLong: ["FieldValueTooLong", "Too long"],
  TooMany: ["FieldValueTooMany", "Too many"],
  TypeInvalid: ["FieldValueTypeInvalid", "Invalid value"],
  Internal: ["InternalError", "Internal error"],
} as const;

export interface FieldError {
  readonly type: keyof typeof TYPES;
  /** `spec.ports[0].port`; `<nil>` never appears: an empty path means the whole object. */
  readonly field: string;
  readonly badValue?: Json | undefined;
  readonly detail: string;
}

export const required = (field: string, detail = ""): FieldError => ({ type: "Required", field, detail });
export const invalid = (field: string, badValue: Json | undefined, detail: string): FieldError => {
  return { type: "Invalid", field, badValue, detail };
};
export const duplicate = (field: string, badValue: Json): FieldError => {
  return { type: "Duplicate", field, badValue, detail: "" };
};
export const forbidden = (field: string, detail: string): FieldError => ({
  type: "Forbidden",
  field,
  detail,
});
export const notSupported = (field: string, badValue: Json, supported: readonly string[]): FieldError => ({
  type: "NotSupported",
  field,
  badValue,
  detail:
    supported.length === 0
      ? ""
      : `supported values: ${supported.map((value) => JSON.stringify(value)).join(", ")}`,
});
export const tooLong = (field: string, maxBytes: number): FieldError => {
  return { type: "TooLong", field, detail: `may not be more than ${maxBytes} bytes` };
};
export const tooMany = (field: string, count: number, max: number): FieldError => {
  return { type: "TooMany", field, badValue: count, detail: `must have at most ${max} items` };
};

/** `details.causes[].reason` of the error. */
export function reasonOf(error: FieldError): string {
  return TYPES[error.type][0];
}

/** The message without the field path: `Invalid value: 0: must be between 1 and 65535, inclusive`. */
export function formatBody(error: FieldError): string {
  const [, title] = TYPES[error.type];
  const bare = ["Required", "Forbidden", "TooLong", "Internal"].includes(error.type);
  const text = bare ? title : `${title}: ${formatValue(error.badValue)}`;
  return error.detail === "" ? text : `${text}: ${error.detail}`;
}

/** With the field path in front, as in the message of a Status. */
export function formatFieldError(error: FieldError): string {
  return error.field === "" ? formatBody(error) : `${error.field}: ${formatBody(error)}`;
}

function formatValue(value: Json | undefined): string {
  return value === undefined || value === null ? '"null"' : JSON.stringify(value);
}
