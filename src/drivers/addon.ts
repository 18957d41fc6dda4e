/**
 * Layer drivers. Loads the native addon: the only file that does. The addon lies in native/build of a checkout, or
 * beside the bundle's file. `addon()` is lazy, so programs that need no kernel run without it.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Addon } from "../../native/addon.d.ts";
import { NodeplaneError } from "../model/errors.ts";

export type { DnsEngine, NetlinkSocket, NetlinkWatch } from "../../native/addon.d.ts";

const NAME = "nodeplane.node";
let loaded: Addon | undefined;

/** Paths where the addon may be, the likeliest first. */
function candidates(): readonly string[] {
  return [
    join(import.meta.dirname, "../../native/build", NAME),
    join(import.meta.dirname, NAME),
    join(import.meta.dirname, "native/build", NAME),
  ];
}

/**
 * The native addon.
 * @throws {NodeplaneError} ADDON_MISSING when it is not built or does not load
 */
export function addon(): Addon {
  if (loaded !== undefined) return loaded;
  const path = candidates().find((candidate) => existsSync(candidate));
  if (path === undefined) throw new NodeplaneError("ADDON_MISSING", { path: candidates()[0] ?? NAME });
  try {
    loaded = createRequire(import.meta.url)(path) as Addon;
  } catch (error) {
    throw new NodeplaneError("ADDON_MISSING", { path, detail: String(error) }, error);
  }
  return loaded;
}

/** What the addon throws when a system call fails. */
export interface SystemError extends Error {
  readonly syscall: string;
  readonly errno: number;
  readonly code: string;
}

/** True for an error of a system call made in the addon. */
export function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && "syscall" in error && "errno" in error && "code" in error;
}
