/** Layer drivers. A connection tracking table in memory, for tests. */
import { setImmediate } from "node:timers/promises";
import { encodeFlowDelete } from "../../codec/netlink/conntrack/flow.ts";
import { NetlinkWriter } from "../../codec/netlink/writer.ts";
import type { IpFamily } from "../../model/ip.ts";
import type { ConntrackDriver, Flow } from "./driver.ts";

export class FakeConntrack implements ConntrackDriver {
  readonly flows = new Set<Flow>();
  /** Dumps since the start. */
  dumps = 0;

  async find(family: IpFamily, protocol: number, wanted: (flow: Flow) => boolean): Promise<readonly Flow[]> {
    this.dumps++;
    await setImmediate();
    return [...this.flows].filter(
      (flow) => flow.family === family && flow.original.protocol === protocol && wanted(flow),
    );
  }

  async delete(flows: readonly Flow[]): Promise<number> {
    await setImmediate();
    let deleted = 0;
    for (const flow of flows) {
      // Refuses what the real one refuses.
      encodeFlowDelete(new NetlinkWriter(256), flow, 1);
      const same = [...this.flows].find((held) => held.id === flow.id && held.family === flow.family);
      if (same !== undefined && this.flows.delete(same)) deleted++;
    }
    return deleted;
  }

  close(): void {}
}
