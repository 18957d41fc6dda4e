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
  /** Numbers of one slot. */
  slot(index: number): SlotCounters;
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
  /** Replaces all views and routes. */
  configure(views: readonly EngineView[], routes: readonly EngineRoute[]): void;
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
