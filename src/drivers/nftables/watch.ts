/**
 * Layer drivers. Notices that somebody else changed our table. Notifications of the driver's own port are dropped
 * inside the kernel; those of other tables are dropped here.
 */
import {
  FAMILY,
  MSG,
  NETLINK_NETFILTER,
  NFNL_SUBSYS_NFTABLES,
  NFNLGRP_NFTABLES,
} from "../../codec/netlink/nftables/constants.ts";
import { attributeText, NetlinkMalformed, readAttributes, readMessages } from "../../codec/netlink/reader.ts";
import type { NftTable } from "../../model/nftables.ts";
import { addon, type NetlinkWatch } from "../addon.ts";

type Change = "table-deleted" | "changed";

/** What a datagram of notifications means for `table`; deletion outweighs other changes. */
export function changeIn(datagram: Uint8Array, table: NftTable): Change | undefined {
  let change: Change | undefined;
  try {
    for (const message of readMessages(datagram, datagram.length)) {
      const kind = message.type & 0xff;
      if (message.type >> 8 !== NFNL_SUBSYS_NFTABLES || kind === MSG.newGen) continue;
      if (message.end - message.start < 4 || datagram[message.start] !== FAMILY[table.family]) continue;
      const name = readAttributes(datagram, message.start + 4, message.end).find((part) => part.type === 1);
      if (name === undefined || attributeText(datagram, name) !== table.name) continue;
      // A table deleted and made again in one batch is a change.
      if (kind === MSG.delTable) change = "table-deleted";
      else if (change === undefined || kind === MSG.newTable) change = "changed";
    }
  } catch (error) {
    if (!(error instanceof NetlinkMalformed)) throw error;
    return "changed";
  }
  return change;
}

/**
 * The watches of the drivers that share one socket. During a bulk change none of them listens: the kernel then builds
 * no notification, which saves as much time as inserting an element takes.
 */
export class TableWatches {
  readonly #watches = new Map<NetlinkWatch, (what: Change) => void>();

  get active(): boolean {
    return this.#watches.size > 0;
  }

  /** Calls back after commits by ports other than `ownPort` that touched `table`, until `signal` aborts. */
  add(table: NftTable, ownPort: number, onChange: (what: Change) => void, signal: AbortSignal): void {
    if (signal.aborted) return;
    const report = (what: Change): void => {
      if (!signal.aborted) onChange(what);
    };
    const watch = addon().netlinkWatch(NETLINK_NETFILTER, NFNLGRP_NFTABLES, ownPort, (datagram, overrun) => {
      const change = changeIn(datagram, table) ?? (overrun ? "changed" : undefined);
      if (change !== undefined) report(change);
    });
    this.#watches.set(watch, report);
    const end = (): void => {
      this.#watches.delete(watch);
      addon().netlinkUnwatch(watch);
    };
    signal.addEventListener("abort", end, { once: true });
  }

  listen(on: boolean): void {
    for (const watch of this.#watches.keys()) addon().netlinkListen(watch, on);
  }

  /** Somebody may have changed any table while nobody listened. */
  missed(): void {
    setImmediate(() => {
      for (const report of this.#watches.values()) report("changed");
    });
  }
}
