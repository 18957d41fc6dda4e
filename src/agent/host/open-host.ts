/** Layer agent. The real machine as a {@link Host}, made of the drivers. */
import { readFileSync, writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { LinuxNft } from "../../drivers/nftables/index.ts";
import { type IpAddress, ipFamily, parseIp } from "../../model/ip.ts";
import type { Host, HostAddresses } from "./host.ts";

const TABLE = "nodeplane";

/** @throws {NodeplaneError} ADDON_MISSING, NETLINK_FAILED */
export function openHost(): Host {
  const ip = new LinuxNft({ family: "ip", name: TABLE });
  const nft = { ip, ip6: new LinuxNft({ family: "ip6", name: TABLE }, ip) };
  return {
    nft,
    sysctl: { read: readSysctl, write: writeSysctl },
    addresses: readAddresses,
    interfaces: () => Object.keys(networkInterfaces()),
    watchAddresses: () => undefined,
    notify: () => undefined,
    close: () => {
      nft.ip.close();
      nft.ip6.close();
    },
  };
}

function readSysctl(path: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${path}`, "utf8").trim();
  } catch {
    return undefined;
  }
}

function writeSysctl(path: string, value: string): void {
  writeFileSync(`/proc/sys/${path}`, value);
}

function readAddresses(): HostAddresses {
  const all = Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).map((entry) => parseIp(entry.address)).filter((address) => address !== undefined),
  );
  const isGlobal = (address: IpAddress) => !/^(127\.|::1$|fe80:)/.test(address);
  const first = (family: "ip" | "ip6") => all.find((a) => ipFamily(a) === family && isGlobal(a));
  const primary = [first("ip"), first("ip6")].filter((address) => address !== undefined);
  return { all, primary };
}
