/**
 * Layer control-plane. When each Node was last known to be alive, by a clock of this process that never jumps: the moment at which
 * its Lease or its reported status was seen to change. So clocks of nodes need not agree with ours, and a control
 * plane that was down itself gives every Node a whole grace period. Pure but for the time it is given.
 */
import { asObject, asText, objectsIn } from "../../kinds/common/json-access.ts";
import type { ApiObject } from "../../registry/json.ts";

interface Sign {
  readonly text: string;
  readonly seenMs: number;
}

/** What a Node reports about its own life; changes of other fields say nothing. */
function signOfLife(node: ApiObject, lease: ApiObject | undefined): string {
  const ready = objectsIn(asObject(node["status"])["conditions"]).find((one) => one["type"] === "Ready");
  const renewed = asText(asObject(lease?.["spec"])["renewTime"]);
  return `${node.metadata.uid} ${renewed} ${asText(ready?.["lastHeartbeatTime"])}`;
}

export class Liveness {
  readonly #signs = new Map<string, Sign>();

  /** @returns milliseconds since the last sign of life; 0 for a Node that is seen for the first time */
  silenceMs(node: ApiObject, lease: ApiObject | undefined, nowMs: number): number {
    const name = node.metadata.name ?? "";
    const text = signOfLife(node, lease);
    const known = this.#signs.get(name);
    if (known?.text === text) return nowMs - known.seenMs;
    this.#signs.set(name, { text, seenMs: nowMs });
    return 0;
  }

  forget(name: string): void {
    this.#signs.delete(name);
  }

  /** Gives every Node a whole new grace period. */
  forgive(nowMs: number): void {
    for (const [name, { text }] of this.#signs) this.#signs.set(name, { text, seenMs: nowMs });
  }
}
