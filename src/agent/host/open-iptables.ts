/** Layer agent. Opens the iptables commands of this machine: those to program with, and those that may hold leftovers. */
import { readFileSync } from "node:fs";
import { type IptablesDriver, LinuxIptables } from "../../drivers/iptables/index.ts";
import { NodeplaneError } from "../../model/errors.ts";
import type { IpFamily } from "../../model/ip.ts";
import type { AgentSettings } from "../config/agent-settings.ts";

/** @throws {NodeplaneError} IPTABLES_MISSING */
export async function openIptables(
  families: readonly IpFamily[],
  variant: AgentSettings["iptablesVariant"],
): Promise<Readonly<Partial<Record<IpFamily, IptablesDriver>>>> {
  const drivers: Partial<Record<IpFamily, IptablesDriver>> = {};
  for (const family of families)
    drivers[family] = await LinuxIptables.open(family, variant === "auto" ? undefined : variant);
  return drivers;
}

/** Tables of the legacy kernel interface in this namespace. Running its commands would make them. */
function hasLegacyTables(family: IpFamily): boolean {
  try {
    return readFileSync(`/proc/net/${family === "ip" ? "ip" : "ip6"}_tables_names`, "utf8").trim() !== "";
  } catch {
    return false;
  }
}

/** Installed commands, of both variants, whose tables may hold rules. */
export async function usedIptables(): Promise<readonly IptablesDriver[]> {
  const found: IptablesDriver[] = [];
  for (const family of ["ip", "ip6"] as const)
    for (const variant of ["legacy", "nft"] as const) {
      if (variant === "legacy" && !hasLegacyTables(family)) continue;
      try {
        found.push(await LinuxIptables.open(family, variant));
      } catch (error) {
        if (!(error instanceof NodeplaneError && error.code === "IPTABLES_MISSING")) throw error;
      }
    }
  return found;
}
