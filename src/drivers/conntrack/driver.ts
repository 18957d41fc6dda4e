/**
 * Layer drivers. The only door to the connection tracking table. Implementations: `LinuxConntrack` (ctnetlink over the
 * addon) and `FakeConntrack` (memory); both pass test/kernel/conntrack.test.ts. Knows nothing of Services.
 */
import type { Flow } from "../../codec/netlink/conntrack/flow.ts";
import type { IpFamily } from "../../model/ip.ts";

export type { Flow } from "../../codec/netlink/conntrack/flow.ts";
export { FLOW_STATUS } from "../../codec/netlink/conntrack/flow.ts";

export interface ConntrackDriver {
  /**
   * Shows every entry of a family and protocol once, some hundreds at a time with turns of the event loop between. Entries
   * that come and go meanwhile may be missed: callers are level based.
   * @returns those for which `wanted` returned true
   * @throws {NodeplaneError} NETLINK_FAILED
   */
  find(family: IpFamily, protocol: number, wanted: (flow: Flow) => boolean): Promise<readonly Flow[]>;
  /**
   * Deletes exactly these entries; one that is gone already is no error.
   * @returns how many were there
   * @throws {NodeplaneError} NETLINK_FAILED; {FlowNotExact} for a tuple that is not complete
   */
  delete(flows: readonly Flow[]): Promise<number>;
  close(): void;
}
