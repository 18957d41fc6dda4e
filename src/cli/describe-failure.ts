/** Layer cli. What a command that failed says, in one line, and its exit status. Defects of ours are not described: they crash. */
import { type ErrorCode, NodeplaneError } from "../model/errors.ts";

export interface Failure {
  readonly text: string;
  readonly status: 1 | 2;
}

/** Asked for what cannot be: the same command will end so every time. */
const MISTAKES: ReadonlySet<ErrorCode> = new Set(["CONFIG_INVALID", "FILE_UNREADABLE", "IPVS_UNSUPPORTED"]);
/** An address that is in use, or not there yet, can be free a moment later: the units try again then. */
const PASSES = /\bEADDR(INUSE|NOTAVAIL)\b/;
const EPERM = 1;
const EACCES = 13;

/** `undefined` for errors that are neither of the catalogue nor a refusal of the kernel's. */
export function describeFailure(error: unknown, isRoot: boolean): Failure | undefined {
  const isForbidden = wasForbidden(error);
  const hint = isForbidden && !isRoot ? " (run this as root)" : "";
  if (error instanceof NodeplaneError) {
    const isMistake = MISTAKES.has(error.code) && !PASSES.test(error.message);
    return { text: `${error.message}${hint}`, status: isMistake ? 2 : 1 };
  }
  return isForbidden && error instanceof Error ? { text: `${error.message}${hint}`, status: 1 } : undefined;
}

/** Whether the kernel refused for lack of privileges, somewhere in the chain of causes. */
function wasForbidden(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    if ("code" in at && (at.code === "EPERM" || at.code === "EACCES")) return true;
    if (at instanceof NodeplaneError && (at.context.errno === EPERM || at.context.errno === EACCES))
      return true;
  }
  return false;
}
