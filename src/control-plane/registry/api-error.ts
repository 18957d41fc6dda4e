/**
 * Layer control-plane. The errors that API operations throw and clients see: a Kubernetes Status each
 * (facts: api machinery's errors package). Never used for failures inside the server.
 */
import { type FieldError, formatBody, formatFieldError, reasonOf } from "./field-error.ts";
import type { JsonObject } from "./json.ts";
import { type Kind, resourceOf } from "./kind.ts";

export interface StatusCause {
  readonly reason: string;
  readonly message: string;
  readonly field?: string;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: number;
  readonly reason: string;
  readonly details: StatusDetails | undefined;

  constructor(code: number, reason: string, message: string, details?: StatusDetails) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.details = details;
  }

  /** The Status object that goes to the client. */
  toStatus(): JsonObject {
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      reason: this.reason,
      ...(this.details === undefined ? {} : { details: structuredClone(this.details) as JsonObject }),
      code: this.code,
    };
  }
}

type Named = Pick<Kind, "group" | "plural" | "kind">;

const named = (kind: Named, name: string): StatusDetails => ({
  name,
  ...(kind.group === "" ? {} : { group: kind.group }),
  kind: kind.plural,
});

export const notFoundError = (kind: Named, name: string): ApiError => {
  return new ApiError(404, "NotFound", `${resourceOf(kind)} "${name}" not found`, named(kind, name));
};
export const alreadyExists = (kind: Named, name: string): ApiError => {
  return new ApiError(
    409,
    "AlreadyExists",
    `${resourceOf(kind)} "${name}" already exists`,
    named(kind, name),
  );
};
export const conflict = (kind: Named, name: string, why: string): ApiError => {
  const message = `Operation cannot be fulfilled on ${resourceOf(kind)} "${name}": ${why}`;
  return new ApiError(409, "Conflict", message, named(kind, name));
};
export const modified = (kind: Named, name: string): ApiError => {
  return conflict(
    kind,
    name,
    "the object has been modified; please apply your changes to the latest version and try again",
  );
};
export const badRequest = (message: string): ApiError => new ApiError(400, "BadRequest", message);
export const forbiddenError = (kind: Named, name: string, why: string): ApiError => {
  const message = `${resourceOf(kind)} "${name}" is forbidden: ${why}`;
  return new ApiError(403, "Forbidden", message, named(kind, name));
};
export const expired = (message: string): ApiError => new ApiError(410, "Expired", message);
export const internalError = (message: string): ApiError => {
  return new ApiError(500, "InternalError", `Internal error occurred: ${message}`, {
    causes: [{ reason: "", message }],
  });
};

/** 422 with one cause a field error. */
export function invalidObject(kind: Named, name: string, errors: readonly FieldError[]): ApiError {
  const texts = errors.map(formatFieldError);
  const joined = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  return new ApiError(422, "Invalid", `${qualifiedKind(kind)} "${name}" is invalid: ${joined}`, {
    name,
    ...(kind.group === "" ? {} : { group: kind.group }),
    kind: kind.kind,
    causes: errors.map((error) => ({
      reason: reasonOf(error),
      message: formatBody(error),
      field: error.field,
    })),
  });
}

function qualifiedKind(kind: Named): string {
  return kind.group === "" ? kind.kind : `${kind.kind}.${kind.group}`;
}
