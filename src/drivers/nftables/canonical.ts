/** Layer drivers. The canonical text of a rule, the same from the fake and the real driver. */
import { canonicalExpressions } from "../../codec/netlink/nftables/canonical.ts";
import { writeStatements } from "../../codec/netlink/nftables/expressions.ts";
import { NetlinkWriter } from "../../codec/netlink/writer.ts";
import type { NftRule, NftTable } from "../../model/nftables.ts";

/** See `NftDriver.canonicalRule`. @throws {RangeError} for a rule that needs too many registers */
export function canonicalRule(table: NftTable, rule: NftRule): string {
  const writer = new NetlinkWriter(4096);
  writeStatements(writer, 1, table.family, rule.statements);
  return canonicalExpressions(writer.bytes, 4, writer.length);
}
