/** Layer control-plane. Where the reports of nodes go. The node's name is that of its certificate. */
import type { NodeReport } from "./report-assembly.ts";

export interface NodeReportSink {
  /** Takes over what differs. @returns false when a part could not be written: the node is asked again after a while */
  report(node: string, report: NodeReport): Promise<boolean>;
  /** Renews the node's Lease. @returns true when the node should report again: what it said was overwritten meanwhile */
  heartbeat(node: string): Promise<boolean>;
}
