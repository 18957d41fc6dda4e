/**
 * Layer codec. Numbers of the generic netlink families `nlctrl` and `IPVS`, from the kernel's uapi headers
 * (linux/genetlink.h, linux/ip_vs.h of Linux 6.1). Only those in use.
 */
export const NETLINK_GENERIC = 16;
export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_DUMP = 0x300;

/** Bytes of `genlmsghdr`. */
export const GENL_HEADER_BYTES = 4;
export const GENL_ID_CTRL = 0x10;
export const CTRL = { getFamily: 3, familyId: 1, familyName: 2 } as const;

export const IPVS_FAMILY_NAME = "IPVS";
export const IPVS_VERSION = 1;

export const CMD = {
  newService: 1,
  setService: 2,
  delService: 3,
  getService: 4,
  newDest: 5,
  setDest: 6,
  delDest: 7,
  getDest: 8,
  setConfig: 12,
  getConfig: 13,
  setInfo: 14,
  getInfo: 15,
} as const;

export const CMD_ATTR = { service: 1, dest: 2, timeoutTcp: 4, timeoutTcpFin: 5, timeoutUdp: 6 } as const;

export const SVC_ATTR = {
  family: 1,
  protocol: 2,
  address: 3,
  port: 4,
  fwmark: 5,
  scheduler: 6,
  flags: 7,
  timeout: 8,
  netmask: 9,
  stats64: 12,
} as const;

export const DEST_ATTR = {
  address: 1,
  port: 2,
  forwarding: 3,
  weight: 4,
  upperThreshold: 5,
  lowerThreshold: 6,
  active: 7,
  inactive: 8,
  persistent: 9,
  family: 11,
  stats64: 12,
} as const;

export const STATS_ATTR = { connections: 1, inPackets: 2, outPackets: 3, inBytes: 4, outBytes: 5 } as const;
export const INFO_ATTR = { version: 1, tableSize: 2 } as const;

export const AF_INET = 2;
export const AF_INET6 = 10;
/** Forwarding methods are the lowest three bits of a destination's connection flags; masquerading is 0. */
export const FORWARDING_MASK = 0x7;
