/** Layer agent. The packet counters of iptables mode, where kernel and iptables have them. */
import { type AccountingDriver, LinuxAccounting } from "../../drivers/accounting/index.ts";
import type { IptablesDriver } from "../../drivers/iptables/index.ts";
import { PACKET_COUNTERS } from "../../plan/iptables/names.ts";
import { countIn } from "../../plan/iptables/node-rules.ts";

const PROBE = "KUBE-PROXY-PROBE";

/** Whether a rule can name the counters: a chain that nothing leads to is made and removed. */
async function canCount(driver: IptablesDriver): Promise<boolean> {
  const made = ["*mangle", `:${PROBE} - [0:0]`, `-A ${PROBE}${countIn(PACKET_COUNTERS.invalid)}`, "COMMIT"];
  const isTaken = (await driver.restore(made)).kind === "restored";
  if (isTaken) await driver.restore(["*mangle", `:${PROBE} - [0:0]`, `-X ${PROBE}`, "COMMIT"]);
  return isTaken;
}

/** Makes the counters. @returns `undefined` where there are none */
export async function openAccounting(
  drivers: readonly IptablesDriver[],
): Promise<AccountingDriver | undefined> {
  const accounting = new LinuxAccounting();
  try {
    const hasAll = Object.values(PACKET_COUNTERS).every((name) => accounting.ensure(name));
    const [driver] = drivers;
    if (hasAll && driver !== undefined && (await canCount(driver))) return accounting;
  } catch {
    // Metrics are no reason to fail: rules work without them.
  }
  accounting.close();
  return undefined;
}

/** Removes the counters that no rule uses any more. */
export function removeCounters(): void {
  const accounting = new LinuxAccounting();
  try {
    for (const name of Object.values(PACKET_COUNTERS)) accounting.remove(name);
  } finally {
    accounting.close();
  }
}
