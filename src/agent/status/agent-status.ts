/** Layer agent. What `nodeplane status -o json` prints: the agent's state as plain values. Field names are a contract. */
import type { ServiceConnections } from "../reconcile/service-connections.ts";
import type { ReconcilerStatus } from "../reconcile/status.ts";

export interface WorkloadStatus {
  readonly namespace: string;
  readonly name: string;
  readonly file: string;
  readonly addresses: readonly string[];
  readonly ready: boolean;
  readonly restarts: number;
  readonly containers: readonly {
    readonly name: string;
    readonly probes: readonly {
      readonly type: "startup" | "liveness" | "readiness";
      readonly result: "success" | "failure" | "unknown";
      /** Of the last probe, which need not have changed the result yet. */
      readonly message: string;
      /** What the last `inRow` probes found; absent before the first. */
      readonly lastSeen?: "success" | "failure";
      readonly inRow?: number;
    }[];
  }[];
}

export interface PreconditionStatus {
  readonly name: string;
  readonly state: "ok" | "set" | "missing" | "unknown";
  readonly detail: string;
}

export interface AgentStatus {
  readonly version: string;
  readonly nodeName: string;
  readonly startedAt: string;
  /** The network namespace that is programmed, as `/proc/self/ns/net` names it. */
  readonly networkNamespace?: string;
  readonly ready: boolean;
  readonly healthy: boolean;
  readonly feed: {
    readonly source: string;
    readonly connected: boolean;
    readonly synced: boolean;
    readonly ageSeconds: number;
    readonly problems: readonly string[];
    readonly counters: Readonly<Record<string, number>>;
  };
  readonly programmed: ReconcilerStatus;
  readonly node: {
    readonly zone: string;
    readonly addresses: readonly string[];
    readonly podCIDRs: readonly string[];
  };
  /** Only with `countConnections`. */
  readonly serviceConnections?: readonly ServiceConnections[];
  readonly preconditions: readonly PreconditionStatus[];
  readonly workloads: readonly WorkloadStatus[];
  readonly refusedManifests: readonly string[];
}
