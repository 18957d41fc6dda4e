/**
 * Layer agent. What the agent needs of the machine it runs on, behind one interface: nf_tables, addresses, sysctls, the
 * service manager. `open-host.ts` makes the real one from the drivers; tests make their own.
 */
import type { AccountingDriver } from "../../drivers/accounting/index.ts";
import type { ConntrackDriver } from "../../drivers/conntrack/index.ts";
import type { IptablesDriver } from "../../drivers/iptables/index.ts";
import type { IpvsDriver } from "../../drivers/ipvs/index.ts";
import type { NftDriver } from "../../drivers/nftables/index.ts";
import type { DummyDriver } from "../../drivers/rtnetlink/index.ts";
import type { SysctlDriver } from "../../drivers/sysctl/index.ts";
import type { IpAddress, IpFamily } from "../../model/ip.ts";

/** The node's addresses at one moment. */
export interface HostAddresses {
  /** Of all interfaces, loopback included. */
  readonly all: readonly IpAddress[];
  /** The best one of each family: on the interface of the default route, else the first that is global. */
  readonly primary: readonly IpAddress[];
}

/** What IPVS mode programs. */
export interface IpvsHost {
  readonly driver: IpvsDriver;
  readonly dummy: DummyDriver;
  /** One driver a family, of the table `nodeplane-ipvs`. */
  readonly tables: Readonly<Partial<Record<IpFamily, NftDriver>>>;
  close(): void;
}

export interface Host {
  /** One driver a family; a family that cannot be programmed is missing. */
  readonly nft: Readonly<Partial<Record<IpFamily, NftDriver>>>;
  /** iptables mode: one driver a family. */
  readonly iptables?: Readonly<Partial<Record<IpFamily, IptablesDriver>>>;
  /** iptables mode: packet counters that rules can add to; absent where the machine has none. */
  readonly accounting?: AccountingDriver;
  /** IPVS mode. */
  readonly ipvs?: IpvsHost;
  /** What IPVS mode may have left, to be closed; asking for it loads no kernel module. */
  openIpvs?(): IpvsHost;
  /** Which network namespace this is, as `/proc/self/ns/net` names it. */
  readonly networkNamespace?: string;
  /** Release of the kernel, as `uname -r` has it. */
  readonly kernelRelease?: string;
  /** Installed commands whose tables may hold something; asking loads no kernel module. */
  usedIptables?(): Promise<readonly IptablesDriver[]>;
  /** Removes the packet counters of iptables mode that no rule uses. */
  removeCounters?(): void;
  readonly sysctl: SysctlDriver;
  readonly conntrack: ConntrackDriver;
  addresses(): HostAddresses;
  /** Names of the interfaces of this network namespace. */
  interfaces(): readonly string[];
  /** Calls back after addresses or routes changed; until `signal` aborts. */
  watchAddresses(onChange: () => void, signal: AbortSignal): void;
  /** Tells the service manager (`READY=1`, `STATUS=…`); does nothing without one. */
  notify(...lines: readonly string[]): void;
  /** How often the service manager wants to hear WATCHDOG=1, in milliseconds. */
  readonly watchdogMs: number | undefined;
  close(): void;
}
