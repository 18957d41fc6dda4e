/** Layer agent. Removes what the nftables mode ever installed, and nothing else. */
import type { NftDriver } from "../../drivers/nftables/driver.ts";
import { NodeplaneError } from "../../model/errors.ts";

/** Deletes the driver's table if it exists. @returns whether there was one @throws {NodeplaneError} NETLINK_FAILED */
export function cleanup(driver: NftDriver): boolean {
  if (driver.read() === undefined) return false;
  const result = driver.commit([{ op: "delete-table" }]);
  if (result.kind === "committed") return true;
  const detail = result.failures.map(({ code, message }) => message ?? code).join("; ");
  const { family, name } = driver.table;
  throw new NodeplaneError("NETLINK_FAILED", { operation: `delete table ${family} ${name}`, detail });
}
