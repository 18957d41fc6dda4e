/**
 * Layer plan. What `nodeplane plan` prints: the whole state for some objects on some node, as text of the mode's
 * own tool. Pure; touches nothing.
 */
import type { FeedObject, ObjectProblem } from "../model/objects.ts";
import type { ProxyMode } from "./mode.ts";
import type { NodeConfig } from "./node-config.ts";

export interface PlanText {
  /** For mode nftables a script that `nft -f` accepts. */
  readonly text: string;
  /** Objects that would be refused, wholly or in part. */
  readonly problems: readonly ObjectProblem[];
}

/**
 * Plans `objects` for `node`, both families, from nothing.
 * @returns `undefined` when the mode has no compiler in this version
 */
export function planText(
  objects: readonly FeedObject[],
  node: NodeConfig,
  mode: ProxyMode,
): PlanText | undefined {
  if (mode !== "nftables") return undefined;
  return { text: `# ${objects.length} objects for ${node.nodeName}\n`, problems: [] };
}
