/**
 * Layer native. What native/build/nodeplane.node exports: system calls and buffers, no policy.
 * Every function throws `Error & { syscall, errno, code }` for a failed system call, TypeError for bad arguments.
 * Only src/drivers/addon.ts loads it.
 */
export interface NetlinkSocket {
  readonly __netlinkSocket: never;
}
export interface NetlinkWatch {
  readonly __netlinkWatch: never;
}

export interface Addon {
  /** Opens and binds an AF_NETLINK socket with extended acknowledgements. */
  netlinkOpen(protocol: number, sendBytes: number, receiveBytes: number): NetlinkSocket;
  /** The port id that the kernel gave to the socket. */
  netlinkPort(socket: NetlinkSocket): number;
  /**
   * Sends `requestLength` bytes of `request` as one datagram (0: sends nothing), then reads the datagrams that are
   * queued into `into` (at least 64 KiB), one behind the other on 4-byte boundaries. Waits for the first one up to
   * `timeoutMs`. @returns bytes read, 0 when there was nothing
   */
  netlinkTransact(
    socket: NetlinkSocket,
    request: Uint8Array,
    requestLength: number,
    into: Uint8Array,
    timeoutMs: number,
  ): number;
  netlinkClose(socket: NetlinkSocket): void;
  /**
   * Calls back with each datagram of a multicast group, except those caused by port `ignorePort` (0: none).
   * `overrun` says that datagrams before this one were lost. Does not keep the process alive.
   */
  netlinkWatch(
    protocol: number,
    group: number,
    ignorePort: number,
    callback: (datagram: Uint8Array, overrun: boolean) => void,
  ): NetlinkWatch;
  /**
   * Leaves the group, or joins it again: while nobody listens the kernel builds no notifications at all, and what
   * happens meanwhile is not heard of.
   */
  netlinkListen(watch: NetlinkWatch, on: boolean): void;
  netlinkUnwatch(watch: NetlinkWatch): void;
  /** One sd_notify datagram. `path` is absolute or begins with `@`. */
  sdNotify(path: string, state: string): void;
}
