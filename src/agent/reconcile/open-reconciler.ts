/** Layer agent. The reconciler of the mode that is configured. */
import { NodeplaneError } from "../../model/errors.ts";
import type { NodeConfig } from "../../plan/node-config.ts";
import type { AgentSettings } from "../config/agent-settings.ts";
import type { Host } from "../host/host.ts";
import { IptablesReconciler } from "./iptables/iptables-reconciler.ts";
import { IpvsReconciler } from "./ipvs/ipvs-reconciler.ts";
import type { KernelReconciler, ReconcileLog, ReconcilerCallbacks } from "./kernel-reconciler.ts";
import { Reconciler } from "./nftables/reconciler.ts";

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
  if (mode === "ipvs") {
    const { ipvs } = host;
    if (ipvs === undefined) throw new NodeplaneError("IPVS_UNSUPPORTED", { detail: "it was not opened" });
    const { driver, dummy, tables: nft } = ipvs;
    const { scheduler, excludeCIDRs, timeouts, drainLimitMs } = settings.ipvs;
    const how = { scheduler, excludeCIDRs, timeouts, drainLimitMs, syncPeriodMs };
    return new IpvsReconciler({ ...common, ...how, ipvs: driver, dummy, nft });
  }
  const hasAccounting = host.accounting !== undefined;
  const drivers = host.iptables ?? {};
  return new IptablesReconciler({ ...common, drivers, hasAccounting, minSyncPeriodMs, syncPeriodMs });
}
