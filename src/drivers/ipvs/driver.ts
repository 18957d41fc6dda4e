/**
 * Layer drivers. The only door to the kernel's IPVS. Implementations: `LinuxIpvs` (generic netlink over the addon) and
 * `FakeIpvs` (memory); both pass test/kernel/ipvs-conformance.test.ts. Knows nothing of Services.
 */
import type {
  IpvsDestinationState,
  IpvsOp,
  IpvsServerState,
  IpvsService,
  IpvsServiceKey,
  IpvsTimeouts,
} from "../../model/ipvs.ts";

export interface IpvsFailure {
  /** Index into the operations given. */
  readonly opIndex: number;
  /** Positive errno and its name: EEXIST (already there), ESRCH (no such virtual server), ENOENT (no such destination, or scheduler). */
  readonly errno: number;
  readonly code: string;
  readonly message?: string;
}

export type IpvsSupport =
  | { readonly kind: "supported"; readonly version: string; readonly connectionBuckets: number }
  /** `needs` names the module or the right that is missing. */
  | { readonly kind: "unsupported"; readonly needs: string };

export interface IpvsDriver {
  /** Tries IPVS and a scheduler with a virtual server on an address for documentation, which is removed again. */
  probe(scheduler: string): IpvsSupport;
  /**
   * All virtual servers that are not found by a firewall mark, with destinations and statistics: one dump, and one more a
   * virtual server. Not one state: others may write meanwhile. @throws {NodeplaneError} NETLINK_FAILED, IPVS_UNSUPPORTED
   */
  read(): Promise<readonly IpvsServerState[]>;
  /** All virtual servers without their destinations: one dump. @throws as {@link read} */
  readServices(): readonly IpvsService[];
  /** Connections to each virtual server since it was made, by `ipvsServiceKey`: one dump. @throws as {@link read} */
  readConnections(): ReadonlyMap<string, number>;
  /** Destinations of one virtual server, none when it is gone: one dump. @throws as {@link read} */
  readDestinations(service: IpvsServiceKey): readonly IpvsDestinationState[];
  /**
   * Sends all operations, many in one datagram, and waits for each answer. There are no transactions: what is not named in
   * the result has happened. @throws {NodeplaneError} when the socket itself fails, IPVS_UNSUPPORTED
   */
  commit(ops: readonly IpvsOp[]): Promise<readonly IpvsFailure[]>;
  readTimeouts(): IpvsTimeouts;
  /** 0 leaves a value as it is. */
  writeTimeouts(timeouts: IpvsTimeouts): void;
  close(): void;
}
