/**
 * Layer agent. What the agent needs of the machine it runs on, behind one interface: nf_tables, addresses, sysctls, the
 * service manager. `open-host.ts` makes the real one from the drivers; tests make their own.
 */
import type { NftDriver } from "../../drivers/nftables/driver.ts";
import type { IpAddress, IpFamily } from "../../model/ip.ts";

/** The node's addresses at one moment. */
export interface HostAddresses {
  /** Of all interfaces, loopback included. */
  readonly all: readonly IpAddress[];
  /** The best one of each family: on the interface of the default route, else the first that is global. */
  readonly primary: readonly IpAddress[];
}

/** Kernel settings by their path below /proc/sys, parts joined by slashes (an interface's name may hold a dot). */
export interface HostSysctl {
  /** @returns the value without blanks around it, `undefined` when the kernel has no such setting */
  read(name: string): string | undefined;
  /** @throws when the value cannot be written */
  write(name: string, value: string): void;
}

export interface Host {
  /** One driver a family; a family that cannot be programmed is missing. */
  readonly nft: Readonly<Partial<Record<IpFamily, NftDriver>>>;
  readonly sysctl: HostSysctl;
  addresses(): HostAddresses;
  /** Names of the interfaces of this network namespace. */
  interfaces(): readonly string[];
  /** Calls back after addresses or routes changed; until `signal` aborts. */
  watchAddresses(onChange: () => void, signal: AbortSignal): void;
  /** Tells the service manager (`READY=1`, `STATUS=…`); does nothing without one. */
  notify(state: string): void;
  close(): void;
}
