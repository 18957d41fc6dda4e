/** Layer agent. The real machine as a {@link Host}, made of the drivers. */
import { existsSync, readlinkSync } from "node:fs";
import { release } from "node:os";
import { LinuxConntrack } from "../../drivers/conntrack/index.ts";
import { LinuxNft } from "../../drivers/nftables/index.ts";
import { SystemdNotify } from "../../drivers/notify/index.ts";
import { LinuxRtnetlink, primaryAddresses } from "../../drivers/rtnetlink/index.ts";
import { LinuxSysctl } from "../../drivers/sysctl/index.ts";
import type { IpFamily } from "../../model/ip.ts";
import { DUMMY_DEVICE } from "../../plan/ipvs/names.ts";
import type { AgentSettings } from "../config/agent-settings.ts";
import type { Host } from "./host.ts";
import { openAccounting, removeCounters } from "./open-accounting.ts";
import { openIptables, usedIptables } from "./open-iptables.ts";
import { openIpvs, openUsableIpvs } from "./open-ipvs.ts";

const TABLE = "nodeplane";

/** The tables of nodeplane in this network namespace. @throws {NodeplaneError} ADDON_MISSING, NETLINK_FAILED */
export function openTables(): { readonly ip: LinuxNft; readonly ip6: LinuxNft } {
  const ip = new LinuxNft({ family: "ip", name: TABLE });
  // One socket for both: neither hears the commits of the other as foreign ones.
  return { ip, ip6: new LinuxNft({ family: "ip6", name: TABLE }, ip) };
}

/** Names the network namespace of this process. */
export function readNetworkNamespace(): string {
  return readlinkSync("/proc/self/ns/net");
}

/**
 * @param env of the process, for the service manager's socket
 * @throws {NodeplaneError} ADDON_MISSING, NETLINK_FAILED, IPTABLES_MISSING, IPVS_UNSUPPORTED
 */
export async function openHost(
  env: Readonly<Record<string, string | undefined>>,
  settings: Pick<AgentSettings, "mode" | "iptablesVariant" | "ipvs">,
): Promise<Host> {
  const ipvs = settings.mode === "ipvs" ? openUsableIpvs(settings.ipvs.scheduler) : undefined;
  // Service addresses are no addresses of the node, in any mode.
  const rtnetlink = new LinuxRtnetlink([DUMMY_DEVICE]);
  await rtnetlink.refresh();
  const tables = openTables();
  // A kernel started with ipv6.disable=1 has no IPv6 to program.
  const nft = existsSync("/proc/net/if_inet6") ? tables : { ip: tables.ip };
  const iptables =
    settings.mode === "iptables"
      ? await openIptables(Object.keys(nft) as IpFamily[], settings.iptablesVariant)
      : undefined;
  const accounting = iptables === undefined ? undefined : await openAccounting(Object.values(iptables));
  const notify = new SystemdNotify(env, process.pid);
  const conntrack = new LinuxConntrack();
  return {
    nft,
    ...(iptables === undefined ? {} : { iptables }),
    ...(accounting === undefined ? {} : { accounting }),
    ...(ipvs === undefined ? {} : { ipvs }),
    openIpvs,
    networkNamespace: readNetworkNamespace(),
    kernelRelease: release(),
    usedIptables,
    removeCounters,
    sysctl: new LinuxSysctl(),
    conntrack,
    addresses: () => ({
      all: [...new Set(rtnetlink.network.addresses.map(({ address }) => address))],
      primary: primaryAddresses(rtnetlink.network),
    }),
    interfaces: () => rtnetlink.network.links,
    watchAddresses: (onChange, signal) => rtnetlink.watch(() => onChange(), signal),
    notify: (...lines) => void notify.notify(...lines),
    watchdogMs: notify.watchdogMs,
    close: () => {
      rtnetlink.close();
      conntrack.close();
      accounting?.close();
      ipvs?.close();
      tables.ip6.close();
      tables.ip.close();
    },
  };
}
