/** Layer agent. Opens what IPVS mode programs in this network namespace. */
import { existsSync } from "node:fs";
import { LinuxIpvs } from "../../drivers/ipvs/index.ts";
import { LinuxNft } from "../../drivers/nftables/index.ts";
import { LinuxDummy } from "../../drivers/rtnetlink/index.ts";
import { NodeplaneError } from "../../model/errors.ts";
import { DUMMY_DEVICE, ipvsTableOf } from "../../plan/ipvs/names.ts";
import type { IpvsHost } from "./host.ts";

/** Sockets alone: nothing is asked yet. @throws {NodeplaneError} ADDON_MISSING, NETLINK_FAILED */
export function openIpvs(): IpvsHost {
  const ip = new LinuxNft(ipvsTableOf("ip"));
  // One socket for both: neither hears the commits of the other as foreign ones.
  const ip6 = new LinuxNft(ipvsTableOf("ip6"), ip);
  const driver = new LinuxIpvs();
  const dummy = new LinuxDummy(DUMMY_DEVICE);
  return {
    driver,
    dummy,
    // A kernel started with ipv6.disable=1 has no IPv6 to program.
    tables: existsSync("/proc/net/if_inet6") ? { ip, ip6 } : { ip },
    close: () => {
      driver.close();
      dummy.close();
      ip6.close();
      ip.close();
    },
  };
}

/** As {@link openIpvs}, on a kernel that can do it. @throws {NodeplaneError} IPVS_UNSUPPORTED, saying what is missing */
export function openUsableIpvs(scheduler: string): IpvsHost {
  const host = openIpvs();
  const support = host.driver.probe(scheduler);
  if (support.kind === "supported") return host;
  host.close();
  throw new NodeplaneError("IPVS_UNSUPPORTED", { detail: `needs ${support.needs}` });
}
