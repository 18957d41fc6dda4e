/** Layer dns. The one form that complaints about a Corefile have: file, line, directive, what is wrong, what is allowed. */
import { NodeplaneError } from "../../model/errors.ts";

/** Where something stands. */
export interface Position {
  readonly file: string;
  readonly line: number;
}

/** Builds the error; `about` is the directive or empty. */
export function corefileError(at: Position, about: string, detail: string): NodeplaneError {
  return new NodeplaneError("CONFIG_INVALID", {
    path: `${at.file}:${at.line}`,
    detail: about === "" ? detail : `${about}: ${detail}`,
  });
}
