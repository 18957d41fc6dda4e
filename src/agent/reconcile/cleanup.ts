/** Layer agent. Removes what the nftables mode ever installed, and nothing else. */
import type { NftDriver } from "../../drivers/nftables/driver.ts";

/** Deletes the driver's table if it exists. @returns whether there was one */
export function cleanup(driver: NftDriver): boolean {
  if (driver.read() === undefined) return false;
  const result = driver.commit([{ op: "delete-table" }]);
  return result.kind === "committed";
}
