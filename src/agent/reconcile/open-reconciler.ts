/** Layer agent. The reconciler of the mode that is configured. */

import type { NodeConfig } from "../../plan/node-config.ts";
import type { AgentSettings } from "../config/agent-settings.ts";
import type { Host } from "../host/host.ts";
import { IptablesReconciler } from "./iptables-reconciler.ts";
import type { KernelReconciler, ReconcilerCallbacks } from "./kernel-reconciler.ts";
import { type ReconcileLog, Reconciler } from "./reconciler.ts";

export interface OpenReconcilerOptions extends ReconcilerCallbacks {
  readonly settings: AgentSettings;
  readonly host: Host;
  readonly node: NodeConfig;
  readonly log: ReconcileLog;
}

export function openReconciler(options: OpenReconcilerOptions): KernelReconciler {
  const { settings, host, ...common } = options;
  const { mode, minSyncPeriodMs, syncPeriodMs } = settings;
  if (mode === "nftables") return new Reconciler({ ...common, mode, drivers: host.nft });
  return new IptablesReconciler({ ...common, drivers: host.iptables ?? {}, minSyncPeriodMs, syncPeriodMs });
}
