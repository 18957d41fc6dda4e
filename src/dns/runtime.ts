/** Layer dns. What outlives a configuration: cluster data, metrics, log, clock. Given to plugins when they are set up. */
import type { IpAddress } from "../model/ip.ts";
import type { ClusterState } from "./cluster/cluster-state.ts";
import type { MetricSet } from "./metrics/metric-set.ts";

export interface DnsLog {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string): void;
  error(message: string): void;
  debug(message: string): void;
  /** One line as it is: the query log. */
  line(text: string): void;
}

export interface Runtime {
  readonly cluster: ClusterState;
  readonly metrics: MetricSet;
  readonly log: DnsLog;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** 0 to 1, as Math.random. */
  readonly random: () => number;
  /** Addresses of this machine that are not loopback, or those given in their place. */
  readonly localAddresses: () => readonly IpAddress[];
  readonly version: string;
}
