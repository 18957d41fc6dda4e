/**
 * Layer codec. What a datagram of rtnetlink notifications can mean to somebody who follows links, addresses and default routes.
 * Pure. Source: the kernel's uapi/linux/rtnetlink.h.
 */
import { NetlinkMalformed, readMessages, viewOf } from "../reader.ts";

/** Multicast groups of links, addresses and routes (RTNLGRP_*). */
export const ROUTE_GROUPS = { link: 1, ip4Address: 5, ip4Route: 7, ip6Address: 9, ip6Route: 11 } as const;

const ADDRESS_MESSAGES: ReadonlySet<number> = new Set([20, 21]);
const ROUTE_MESSAGES: ReadonlySet<number> = new Set([24, 25]);

/**
 * False when all of it is about routes other than default ones, or about addresses of `ignored` interfaces (by index).
 * Damaged datagrams matter.
 */
export function matters(datagram: Uint8Array, ignored: ReadonlySet<number>): boolean {
  const view = viewOf(datagram);
  try {
    return readMessages(datagram, datagram.length).some(({ type, start, end }) => {
      // Of ifaddrmsg the index is the last four of eight bytes, of rtmsg the prefix length is the second byte.
      if (ADDRESS_MESSAGES.has(type)) return end - start < 8 || !ignored.has(view.getUint32(start + 4, true));
      return !ROUTE_MESSAGES.has(type) || end - start < 2 || datagram[start + 1] === 0;
    });
  } catch (error) {
    if (!(error instanceof NetlinkMalformed)) throw error;
    return true;
  }
}
