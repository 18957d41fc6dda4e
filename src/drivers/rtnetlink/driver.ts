/**
 * Layer drivers. What this network namespace looks like: links, addresses, default routes; and when that changes.
 * Reading only. Implementations: `LinuxRtnetlink` and `FakeRtnetlink`, under test/kernel/rtnetlink.test.ts.
 */
import type { IpAddress, IpFamily } from "../../model/ip.ts";

export interface InterfaceAddress {
  readonly interface: string;
  readonly address: IpAddress;
  readonly prefixBits: number;
  readonly scope: "global" | "link" | "host" | "other";
}

export interface Network {
  /** Interface names by index order. */
  readonly links: readonly string[];
  /** In the kernel's order: an interface's first address of a family is its primary one. */
  readonly addresses: readonly InterfaceAddress[];
  /** Interface of the default route with the lowest metric, by family. */
  readonly defaultInterface: Readonly<Partial<Record<IpFamily, string>>>;
}

export interface RtnetlinkDriver {
  /** As last read: at {@link refresh} and after each change that {@link watch} noticed. */
  readonly network: Network;
  /** Reads everything. @throws {NodeplaneError} NETLINK_FAILED */
  refresh(): Promise<Network>;
  /** Calls back after {@link network} has changed, until `signal` aborts. Does not keep the process alive. */
  watch(onChange: (network: Network) => void, signal: AbortSignal): void;
  close(): void;
}
