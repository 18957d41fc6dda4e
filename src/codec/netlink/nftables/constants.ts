/**
 * Layer codec. Numbers of the nf_tables netlink interface, from the kernel's uapi headers
 * (linux/netfilter/nf_tables.h, nfnetlink.h of Linux 6.18). Only those in use.
 */
import type { NftTableFamily } from "../../../model/nftables.ts";

export const NETLINK_NETFILTER = 12;
export const NFNLGRP_NFTABLES = 7;
export const NFNL_SUBSYS_NFTABLES = 10;
export const NFNL_MSG_BATCH_BEGIN = 0x10;
export const NFNL_MSG_BATCH_END = 0x11;

export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;

export const MSG = {
  newTable: 0,
  getTable: 1,
  delTable: 2,
  newChain: 3,
  getChain: 4,
  delChain: 5,
  newRule: 6,
  getRule: 7,
  delRule: 8,
  newSet: 9,
  getSet: 10,
  delSet: 11,
  newSetElem: 12,
  getSetElem: 13,
  delSetElem: 14,
  newGen: 15,
  getGen: 16,
} as const;

/** Netlink message type of an nf_tables message. */
export function nftType(message: number): number {
  return (NFNL_SUBSYS_NFTABLES << 8) | message;
}

export const FAMILY: Readonly<Record<NftTableFamily, number>> = { inet: 1, ip: 2, ip6: 10 };

export const SET_FLAG = { interval: 0x4, map: 0x8, timeout: 0x10, dynamic: 0x20, concat: 0x80 } as const;
export const VERDICT_DATA_TYPE = 0xffffff00;
/** Verdict codes as unsigned 32-bit numbers. */
export const VERDICT = {
  drop: 0,
  accept: 1,
  continue: 0xffffffff,
  jump: 0xfffffffd,
  goto: 0xfffffffc,
  return: 0xfffffffb,
} as const;

export const HOOK = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;
