/** Layer control-plane. Where the reports of nodes go. The node's name is that of its certificate. */
import type { NodeReport } from "./report-assembly.ts";

export interface NodeReportSink {
  /** Takes over what differs. A rejection is logged, and the node reports again. */
  report(node: string, report: NodeReport): Promise<void>;
  /** Renews the node's Lease. */
  heartbeat(node: string): Promise<void>;
}
