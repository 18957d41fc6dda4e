/**
 * Layer drivers. The native UDP engine as its users see it: it answers from names that were put into it, and from whole
 * replies that were published to it, and hands every other packet up. What these are is decided in `dns/engine`.
 */

import type { IpAddress } from "../../model/ip.ts";

/** Bits of a query, besides name and type, that an answer belongs to. `exact`: this spelling of the name only. */
export const KEY_FLAG = { recursion: 1, checking: 2, authentic: 4, dnssec: 8, exact: 16 } as const;

export const MAX_TAGS = 4;
export const COUNTER_SLOTS = 512;
/** Longest reply that is ever published. */
export const MAX_IMAGE_BYTES = 4_096;
export const MAX_TTLS = 255;

export interface EngineAnswer {
  readonly listener: number;
  readonly keyFlags: number;
  readonly type: number;
  /** Index of the counters that grow with each use. */
  readonly counter: number;
  /** A whole reply without OPT. */
  readonly image: Uint8Array;
  /** At most {@link MAX_TAGS}; the answer is void once a tag's generation is another. */
  readonly tags: readonly { readonly tag: number; readonly generation: number }[];
  /** Offset of an SOA serial that is always the engine's. */
  readonly serialAt?: number;
  /** Records of equal size that are sent in random order. */
  readonly rotate?: { readonly at: number; readonly count: number; readonly stride: number };
  /** TTLs (offsets) run down from `baseMs`, milliseconds since the epoch. */
  readonly ageing?: { readonly baseMs: number; readonly ttlOffsets: readonly number[] };
  readonly expiresMs?: number;
}

/** Query types that the engine counts apart where it answers from names; 0 stands for all others. */
export const NAME_TYPES: readonly number[] = [1, 28, 33, 12, 5, 16, 6, 65, 15, 2, 64, 0];
/** How names of one `kubernetes` block are answered. Zones are absolute and in lower case. */
export interface EngineView {
  /** 0 to 254. */
  readonly id: number;
  readonly pods: "disabled" | "insecure" | "verified";
  readonly ttlSeconds: number;
  readonly primaryZone: string;
  readonly zones: readonly string[];
  readonly fallthrough: readonly string[];
}

/** A zone of a listener. Without a view its questions are not answered from names. */
export interface EngineRoute {
  readonly listener: number;
  readonly zone: string;
  readonly isRecursive: boolean;
  readonly shuffles: boolean;
  readonly view?: number;
  /** Counters of each of {@link NAME_TYPES}: of answers with NOERROR, then with NXDOMAIN. */
  readonly slots?: readonly (readonly [number, number])[];
  /** Who forwards questions that nothing else answers, with counters of each type and of {@link FORWARD_RCODES}. */
  readonly forward?: { readonly group: number; readonly slots: readonly (readonly number[])[] };
}

/** Replies of upstreams that the engine counts; those with other codes it gives to the chain. */
export const FORWARD_RCODES: readonly number[] = [0, 2, 3];
export const MAX_GROUPS = 32;
export const MAX_UPSTREAMS = 64;
/** Upstreams that are counted apart. */
export const UPSTREAM_COUNTERS = 32;

/** Questions that the engine forwards over UDP. Zones are absolute and in lower case. */
export interface EngineGroup {
  /** Names the group in packets that are handed up: {@link EngineVerdict}. */
  readonly token: number;
  /** Replies are handed up with their query: somebody in the chain keeps or changes them. */
  readonly isThroughChain: boolean;
  readonly policy: "random" | "round_robin" | "sequential";
  /** For one reply. */
  readonly timeoutMs: number;
  /** For one query; 0: as many as there is time for. */
  readonly maxAttempts: number;
  /** Above, questions are left to the chain; 0: no limit. */
  readonly maxConcurrent: number;
  /** Of a socket. */
  readonly lifeMs: number;
  readonly zones: readonly string[];
  /** Zones inside of these whose questions are left to the chain. */
  readonly left: readonly string[];
  readonly upstreams: readonly EngineUpstream[];
}

export interface EngineUpstream {
  /** Below {@link UPSTREAM_COUNTERS}. */
  readonly counter: number;
  readonly address: IpAddress;
  readonly port: number;
  readonly source?: IpAddress;
}

/** What became of a query that the engine forwarded before it handed it up. */
export interface EngineVerdict {
  readonly token: number;
  /** Index inside the group. */
  readonly upstream: number;
  readonly seconds: number;
  /** The upstream's packet, or why there is none after all attempts. */
  readonly reply: Uint8Array | { readonly errno: number };
}

/** Health of an upstream, of the order in which groups name them. */
export interface UpstreamHealth {
  /** Left out. */
  readonly isDown: boolean;
  /** Its next reply is worth a word. */
  readonly isSuspect: boolean;
  /** It does not repeat the letters of a name. */
  readonly losesCase: boolean;
}

/** Numbers that only grow, but `inWork`. */
export interface ForwardState {
  readonly inWork: number;
  readonly groups: readonly number[];
  readonly upstreams: readonly { readonly failed: number; readonly recovered: number }[];
}

/** A name below `svc` of a view, or a namespace, with everything that is there. */
export interface EngineName {
  readonly view: number;
  /** `left`: whatever asks for it or for its addresses is left to the chain. */
  readonly kind: "namespace" | "service" | "alias" | "left";
  /** Labels: service and namespace, or the namespace alone. */
  readonly key: readonly string[];
  /** Zones that no node names are answered from the nodes of `*`. */
  readonly isZonal: boolean;
  /** Of an alias, absolute. */
  readonly target: string;
  readonly nodes: readonly EngineNode[];
}

export interface EngineNode {
  /** Below the name; none for the name itself. */
  readonly labels: readonly string[];
  /** `all`: those of all nodes that have reverse names. */
  readonly addresses: readonly IpAddress[] | "all";
  /** The addresses lead back to this name. */
  readonly hasReverse: boolean;
  /** `left`: to the chain. Targets are nodes of the same name. */
  readonly services:
    | "left"
    | {
        readonly weight: number;
        readonly records: readonly { readonly port: number; readonly target: EngineNode }[];
      };
}

/** A packet that the engine has no answer for. */
export interface UpPacket {
  readonly listener: number;
  readonly bytes: Uint8Array;
  readonly address: string;
  readonly port: number;
  /** Address that was asked; the reply leaves from it. */
  readonly localAddress: string;
  /** What the engine needs to send the reply. */
  readonly route: Uint8Array;
  readonly verdict?: EngineVerdict;
}

export interface EngineCounters {
  /** Learned answers. */
  readonly entries: number;
  readonly bytes: number;
  readonly names: number;
  readonly nameBytes: number;
  readonly received: number;
  readonly answered: number;
  readonly handedUp: number;
  readonly overload: number;
  readonly sendFailed: number;
  readonly forwarded: number;
  /** Numbers of one slot. */
  slot(index: number): SlotCounters;
  upstream(index: number): UpstreamCounters;
}

export interface UpstreamCounters {
  /** Sockets used that were there, and new ones. */
  readonly kept: number;
  readonly opened: number;
  /** Of each of {@link FORWARD_RCODES}. */
  readonly replies: readonly { readonly durations: Float64Array; readonly seconds: number }[];
}

export interface SlotCounters {
  readonly ipv4: number;
  readonly ipv6: number;
  readonly dnssec: number;
  readonly requestBytes: number;
  readonly replyBytes: number;
  readonly seconds: number;
  readonly requestSizes: Float64Array;
  readonly replySizes: Float64Array;
  readonly durations: Float64Array;
}

export interface UdpEngine {
  /** @throws SystemError when the address cannot be had */
  listen(listener: number, host: string, port: number, threads: number): void;
  unlisten(listener: number): void;
  publish(answer: EngineAnswer): void;
  /** Replaces all views, routes and groups. Queries that are under way go on. */
  configure(
    views: readonly EngineView[],
    routes: readonly EngineRoute[],
    groups: readonly EngineGroup[],
  ): void;
  /** A cache of the chain has the reply (of the flags DO and CD count): its questions are not forwarded until then. 0: it has it no longer. */
  markKept(name: string, type: number, keyFlags: number, untilMs: number): void;
  setUpstream(index: number, health: UpstreamHealth): void;
  /** `false`: the group's questions are left to the chain. */
  setGroup(index: number, isOn: boolean): void;
  forwarding(): ForwardState;
  /** In the place of the name with the same key. @returns false when there is no room, or no form for it */
  putName(name: EngineName): boolean;
  removeName(view: number, key: readonly string[]): void;
  /** `off`: its questions are left to the chain; `forgotten`: that, and its names are gone. New views are off. */
  setView(view: number, state: "on" | "off" | "forgotten"): void;
  setGeneration(tag: number, generation: number): void;
  setSerial(serial: number): void;
  flush(): void;
  /** Sends the reply for a packet that was handed up. */
  reply(to: UpPacket, bytes: Uint8Array): void;
  counters(): EngineCounters;
  close(): void;
}
