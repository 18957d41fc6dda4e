/** Layer cli. `parseArgs` of node:util, whose complaints become one line that points to the command's help. */
import { type ParseArgsConfig, parseArgs } from "node:util";
import { NodeplaneError } from "../model/errors.ts";

/** @throws {NodeplaneError} CONFIG_INVALID for the first argument that `command` does not take */
export function parseArguments<T extends ParseArgsConfig>(
  command: string,
  config: T,
): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    // What follows the first sentence is about node's own conventions.
    const detail = (error instanceof Error ? error.message : String(error)).split(/\. |\n/)[0] ?? "";
    throw new NodeplaneError(
      "CONFIG_INVALID",
      { detail: `${detail}; see 'nodeplane ${command} --help'` },
      error,
    );
  }
}
