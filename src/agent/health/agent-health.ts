/**
 * Layer agent. Whether the agent is alive, healthy and ready. Healthy as kube-proxy means it: no change waits longer than
 * the timeout. Ready as nodeplane means it: the first complete state is in the kernel.
 * Source: kube-proxy 1.33 (pkg/proxy/healthcheck), KEP-3836 for the node's eligibility.
 */
import type { Node } from "../../model/objects.ts";
import type { Clock } from "../clock.ts";
import type { ReconcilerStatus } from "../reconcile/status.ts";

const DELETION_TAINT = "ToBeDeletedByClusterAutoscaler";

/** What health is judged by; the reconciler keeps it. */
export type ProgrammingState = Pick<
  ReconcilerStatus,
  "programmed" | "revision" | "receivedRevision" | "pendingForMs" | "programmedAtMs"
>;

export interface ReadyCheck {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface AgentHealthOptions {
  readonly clock: Clock;
  /** A change that waits longer makes the agent unhealthy; kube-proxy uses twice the sync period. */
  readonly timeoutMs: number;
  readonly state: () => ProgrammingState;
}

export class AgentHealth {
  readonly #options: AgentHealthOptions;
  #eligible = true;

  constructor(options: AgentHealthOptions) {
    this.#options = options;
  }

  /** This node's own object; `undefined` when it was deleted. Eligible until the first one is known. */
  setNode(node: Node | undefined): void {
    this.#eligible =
      node === undefined ||
      (node.meta.deletionTimestampMs === undefined && !node.taintKeys.includes(DELETION_TAINT));
  }

  get isHealthy(): boolean {
    return (this.#options.state().pendingForMs ?? 0) < this.#options.timeoutMs;
  }

  get isEligible(): boolean {
    return this.#eligible;
  }

  get isReady(): boolean {
    return this.#options.state().programmed;
  }

  /** A healthy answer says "now", as kube-proxy's does. */
  get lastUpdatedMs(): number {
    return this.isHealthy ? this.#options.clock.now() : (this.#options.state().programmedAtMs ?? 0);
  }

  /** What readiness is made of. */
  checks(): readonly ReadyCheck[] {
    const { programmed, revision, receivedRevision } = this.#options.state();
    const isSynced = receivedRevision !== undefined;
    return [
      {
        name: "synced",
        ok: isSynced,
        detail: isSynced ? `revision ${receivedRevision}` : "no complete state received yet",
      },
      {
        name: "programmed",
        ok: programmed,
        detail: programmed ? `revision ${revision ?? "unknown"}` : "the rules are not in the kernel yet",
      },
    ];
  }
}
