/** Layer agent. What metrics are made of that others keep. Plain values. */
import type { IpFamily } from "../../model/ip.ts";
import type { ServiceConnections } from "../reconcile/service-connections.ts";
import type { ReconcilerStatus } from "../reconcile/status.ts";

/** Values of the label `ip_family`. */
export const FAMILY_LABEL: Readonly<Record<IpFamily, string>> = { ip: "IPv4", ip6: "IPv6" };

/** What the agent knows at the moment of a scrape. */
export interface MetricsSnapshot {
  readonly reconciler: ReconcilerStatus;
  /** Asks the kernel, by family. */
  readonly affinityNotRemembered: () => ReadonlyMap<IpFamily, number>;
  /** New connections by service port; asks the kernel now and then. Empty unless they are counted. */
  readonly serviceConnections: () => readonly ServiceConnections[];
  /** Asks the kernel for the packet counters of iptables mode, by name; empty where there are none. */
  readonly packetCounters: () => ReadonlyMap<string, number>;
  readonly feedAgeSeconds: number;
  readonly feedConnected: boolean;
  readonly feedSynced: boolean;
  readonly feedProblems: number;
  readonly missingPreconditions: number;
  readonly workloads: { readonly ready: number; readonly notReady: number; readonly refused: number };
  /** Counters of the node stream by name; empty in standalone mode. */
  readonly stream: Readonly<Record<string, number>>;
}
