/** Layer control-plane. Tells API errors by their HTTP status. */
import { ApiError } from "../registry/api-error.ts";

export function hasStatus(error: unknown, code: number): boolean {
  return error instanceof ApiError && error.code === code;
}
