/** Layer drivers. Named packet counters that rules of iptables can add to (`-m nfacct`). */
export interface AccountingDriver {
  /** Makes a counter unless it is there. @returns false where the kernel has no such counters */
  ensure(name: string): boolean;
  /** All counters of this network namespace. @throws {NodeplaneError} NETLINK_FAILED */
  packets(): ReadonlyMap<string, number>;
  /** Removes a counter that no rule uses. @returns whether it was there and went */
  remove(name: string): boolean;
  close(): void;
}
