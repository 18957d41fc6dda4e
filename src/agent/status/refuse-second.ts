/** Layer agent. One agent a network namespace: two would undo each other's rules for ever. */
import { NodeplaneError } from "../../model/errors.ts";
import { readStatus } from "./read-status.ts";

/**
 * Asks on the status socket whether an agent runs in `networkNamespace` already. An agent of another namespace that was given
 * the same socket is none of our business.
 * @param socket empty: nobody can be asked
 * @throws {NodeplaneError} COMMAND_FAILED
 */
export async function refuseSecond(socket: string, networkNamespace: string): Promise<void> {
  if (socket === "") return;
  const answer = await readStatus(socket);
  if (answer.kind !== "status" || answer.status.networkNamespace !== networkNamespace) return;
  const { nodeName, startedAt } = answer.status;
  const detail = `the agent of node ${nodeName} has been running on this node since ${startedAt}: stop it first ('systemctl stop nodeplane-agent')`;
  throw new NodeplaneError("COMMAND_FAILED", { operation: "start", detail });
}
