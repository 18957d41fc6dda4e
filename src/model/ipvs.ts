/**
 * Layer model. Virtual servers and destinations of the kernel's IPVS as values, in the words of ipvsadm(8). The compiler in
 * `plan` produces them, `drivers/ipvs` writes and reads them. Source: the kernel's uapi/linux/ip_vs.h.
 */
import type { IpAddress, IpFamily } from "./ip.ts";

/** Bits of a virtual server's flags. The meaning of the scheduler's bits depends on the scheduler. */
export const IPVS_FLAGS = { persistent: 0x1, onePacket: 0x4, scheduler1: 0x8, scheduler2: 0x10 } as const;

/** What tells virtual servers apart. Those found by a firewall mark are none of ours. */
export interface IpvsServiceKey {
  readonly family: IpFamily;
  /** 6, 17 or 132. */
  readonly protocol: number;
  readonly address: IpAddress;
  readonly port: number;
}

export interface IpvsService extends IpvsServiceKey {
  /** Name of the scheduler, at most 15 characters. */
  readonly scheduler: string;
  /** Sum of {@link IPVS_FLAGS}. */
  readonly flags: number;
  /** Of persistence; 0 without. */
  readonly timeoutSeconds: number;
}

export interface IpvsDestination {
  readonly address: IpAddress;
  readonly port: number;
  /** 0: no new connections. */
  readonly weight: number;
}

/** Sums since the object exists. */
export interface IpvsStatistics {
  readonly connections: number;
  readonly inPackets: number;
  readonly outPackets: number;
  readonly inBytes: number;
  readonly outBytes: number;
}

export interface IpvsDestinationState extends IpvsDestination {
  /** `masquerade` is what we write; anything else was written by somebody else. */
  readonly forwarding: "masquerade" | "other";
  readonly activeConnections: number;
  readonly inactiveConnections: number;
  readonly persistentConnections: number;
  readonly statistics: IpvsStatistics;
}

/** A virtual server as it is to be. */
export interface IpvsServer {
  readonly service: IpvsService;
  readonly destinations: readonly IpvsDestination[];
}

/** A virtual server as the kernel has it. */
export interface IpvsServerState {
  readonly service: IpvsService;
  readonly statistics: IpvsStatistics;
  readonly destinations: readonly IpvsDestinationState[];
}

/** One request. There are no transactions: each takes effect by itself, in order. */
export type IpvsOp =
  | { readonly op: "add-service"; readonly service: IpvsService }
  | { readonly op: "set-service"; readonly service: IpvsService }
  | { readonly op: "delete-service"; readonly service: IpvsServiceKey }
  | {
      readonly op: "add-destination";
      readonly service: IpvsServiceKey;
      readonly destination: IpvsDestination;
    }
  | {
      readonly op: "set-destination";
      readonly service: IpvsServiceKey;
      readonly destination: IpvsDestination;
    }
  | {
      readonly op: "delete-destination";
      readonly service: IpvsServiceKey;
      readonly destination: Pick<IpvsDestination, "address" | "port">;
    };

/** Idle times of connections in seconds; 0 leaves a value as it is. */
export interface IpvsTimeouts {
  readonly tcpSeconds: number;
  readonly tcpFinSeconds: number;
  readonly udpSeconds: number;
}

/** Equal for virtual servers that the kernel cannot tell apart. */
export function ipvsServiceKey({ protocol, address, port }: IpvsServiceKey): string {
  return `${protocol} ${address} ${port}`;
}
