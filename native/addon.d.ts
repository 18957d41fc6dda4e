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

export interface DnsEngine {
  readonly __dnsEngine: never;
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
  /**
   * A DNS engine with a table of at most `maxBytes`. `wake` is called when packets wait that the table has no answer for;
   * it does not keep the process alive.
   */
  dnsEngineOpen(maxBytes: number, wake: () => void): DnsEngine;
  /** Opens sockets (`host` empty: all addresses of both families) and answers on `threads` threads. `id` is 0 to 255. */
  dnsEngineListen(engine: DnsEngine, id: number, host: string, port: number, threads: number): void;
  dnsEngineUnlisten(engine: DnsEngine, id: number): void;
  /** One answer; the layout of the record stands in native/src/dns_entry.cpp. TypeError for a malformed one. */
  dnsEnginePublish(engine: DnsEngine, record: Uint8Array): void;
  /** Views and routes; the layout of the record stands in native/src/dns_config.hpp. TypeError for a malformed one. */
  dnsEngineConfigure(engine: DnsEngine, record: Uint8Array): void;
  /** One name of a view (native/src/dns_unit.hpp). TypeError for a malformed one. @returns false when there is no room */
  dnsEnginePutName(engine: DnsEngine, record: Uint8Array): boolean;
  /** `key`: labels in wire form without the root. */
  dnsEngineRemoveName(engine: DnsEngine, view: number, key: Uint8Array): void;
  /** State 0: its questions are left to JavaScript, 1: answered, 2: as 0, and its names are forgotten. */
  dnsEngineView(engine: DnsEngine, view: number, state: number): void;
  /** Voids the entries that carry the tag with another generation. */
  dnsEngineGeneration(engine: DnsEngine, tag: number, generation: number): void;
  /** Serial that answers with an SOA of the cluster get from now on. */
  dnsEngineSerial(engine: DnsEngine, serial: number): void;
  /** Forgets all answers. */
  dnsEngineFlush(engine: DnsEngine): void;
  /** Packets that wait, each behind a head of 48 octets (native/src/dns_packet_head.hpp); empty: the next one wakes again. */
  dnsEngineTake(engine: DnsEngine): Uint8Array;
  /** Sends packets of the same form. @returns how many could not be sent */
  dnsEngineSend(engine: DnsEngine, packets: Uint8Array): number;
  /** Learned answers, their bytes, names, their bytes, then the numbers of native/src/dns_counters.hpp, summed over all threads. */
  dnsEngineCounters(engine: DnsEngine): Float64Array;
  /**
   * A cache of JavaScript has the reply to this question (`name` in wire form and lower case; of the flags DO and CD count):
   * it is not forwarded, but left to the chain. 0: no longer. dnsEngineFlush() forgets all.
   */
  dnsEngineMark(
    engine: DnsEngine,
    name: Uint8Array,
    type: number,
    keyFlags: number,
    untilSeconds: number,
  ): void;
  /** What is known of an upstream of the plan: bits of UpstreamBits in native/src/dns_forward_plan.hpp. */
  dnsEngineUpstream(engine: DnsEngine, upstream: number, bits: number): void;
  /** Whether a group of the plan forwards, or leaves its questions to JavaScript. */
  dnsEngineGroup(engine: DnsEngine, group: number, isOn: boolean): void;
  /**
   * Queries in work, then those of each group of the plan, then of each upstream how many failed and how many replies came
   * while it was suspect. `wake` is called for what happens afterwards.
   */
  dnsEngineForwarding(engine: DnsEngine): Float64Array;
  /** Ends the threads and closes the sockets. */
  dnsEngineClose(engine: DnsEngine): void;
}
