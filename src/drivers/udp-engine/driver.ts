/**
 * Layer drivers. The native UDP engine as its users see it: it answers from whole replies that were published to it and
 * hands every other packet up. It knows nothing of zones or plugins; what may be published is decided in `dns/engine`.
 */

/** Bits of a query, besides name and type, that an answer belongs to. `exact`: this spelling of the name only. */
export const KEY_FLAG = { recursion: 1, checking: 2, authentic: 4, dnssec: 8, exact: 16 } as const;

export const MAX_TAGS = 4;
export const COUNTER_SLOTS = 256;
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
  readonly entries: number;
  readonly bytes: number;
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
  setGeneration(tag: number, generation: number): void;
  setSerial(serial: number): void;
  flush(): void;
  /** Sends the reply for a packet that was handed up. */
  reply(to: UpPacket, bytes: Uint8Array): void;
  counters(): EngineCounters;
  close(): void;
}
