/** Layer drivers. The engine of the native addon. Packets come in batches, replies that are there at once leave in one. */
import { ipFromBytes } from "../../model/ip.ts";
import { addon, type DnsEngine } from "../addon.ts";
import { encodeConfig } from "./config-record.ts";
import type {
  EngineAnswer,
  EngineCounters,
  EngineGroup,
  EngineName,
  EngineRoute,
  EngineVerdict,
  EngineView,
  ForwardState,
  SlotCounters,
  UdpEngine,
  UpPacket,
  UpstreamCounters,
  UpstreamHealth,
} from "./driver.ts";
import { FORWARD_RCODES, UPSTREAM_COUNTERS } from "./driver.ts";
import { encodeLabels, encodeName, wireName } from "./name-record.ts";

const ROUTE_BYTES = 48;
const RECORD_BYTES = 64;
const VERDICT_BYTES = 12;
/** Four sizes and six totals stand before the upstreams, the slots behind these. */
const HEAD_NUMBERS = 10;
const VIEW_STATES = { off: 0, on: 1, forgotten: 2 } as const;
const SIZE_BUCKETS = 15;
const DURATION_BUCKETS = 17;
const SLOT_NUMBERS = 6 + 2 * SIZE_BUCKETS + DURATION_BUCKETS;
const REPLY_NUMBERS = 1 + DURATION_BUCKETS;
const UPSTREAM_NUMBERS = 2 + FORWARD_RCODES.length * REPLY_NUMBERS;
const SLOTS_AT = HEAD_NUMBERS + UPSTREAM_COUNTERS * UPSTREAM_NUMBERS;
/** Packets taken up before the event loop gets its turn. */
const MAX_TURN = 512;
/** Replies that wait to be sent together; a UDP packet and its route always fit. */
const OUT_BYTES = 256 * 1024;

export class NativeUdpEngine implements UdpEngine {
  readonly #engine: DnsEngine;
  readonly #onPacket: (packet: UpPacket) => void;
  readonly #onForwarding: () => void;
  #groups = 0;
  readonly #waiting: Uint8Array[] = [];
  #at = 0;
  readonly #out = Buffer.allocUnsafeSlow(OUT_BYTES);
  #outBytes = 0;
  #isTaking = false;
  /** Somebody will send soon. */
  #isWaiting = false;
  #isClosed = false;

  /** @throws {NodeplaneError} ADDON_MISSING */
  constructor(maxBytes: number, onPacket: (packet: UpPacket) => void, onForwarding: () => void) {
    this.#onPacket = onPacket;
    this.#onForwarding = onForwarding;
    this.#engine = addon().dnsEngineOpen(maxBytes, () => this.#turn());
  }

  listen(listener: number, host: string, port: number, threads: number): void {
    addon().dnsEngineListen(this.#engine, listener, host, port, threads);
  }

  unlisten(listener: number): void {
    this.#send();
    addon().dnsEngineUnlisten(this.#engine, listener);
  }

  publish(answer: EngineAnswer): void {
    addon().dnsEnginePublish(this.#engine, encodeAnswer(answer));
  }

  configure(
    views: readonly EngineView[],
    routes: readonly EngineRoute[],
    groups: readonly EngineGroup[],
  ): void {
    addon().dnsEngineConfigure(this.#engine, encodeConfig(views, routes, groups));
    this.#groups = groups.length;
  }

  markKept(name: string, type: number, keyFlags: number, untilMs: number): void {
    const wire = wireName(name);
    if (wire === undefined || this.#isClosed) return;
    const until = Math.ceil(untilMs / 1000);
    addon().dnsEngineMark(this.#engine, Buffer.from(wire, "latin1"), type, keyFlags, until);
  }

  setUpstream(index: number, { isDown, isSuspect, losesCase }: UpstreamHealth): void {
    const bits = (isDown ? 1 : 0) | (isSuspect ? 2 : 0) | (losesCase ? 4 : 0);
    if (!this.#isClosed) addon().dnsEngineUpstream(this.#engine, index, bits);
  }

  setGroup(index: number, isOn: boolean): void {
    if (!this.#isClosed) addon().dnsEngineGroup(this.#engine, index, isOn);
  }

  forwarding(): ForwardState {
    const [inWork = 0, ...rest] = addon().dnsEngineForwarding(this.#engine);
    const upstreams: { failed: number; recovered: number }[] = [];
    for (let i = this.#groups; i < rest.length; i += 2)
      upstreams.push({ failed: rest[i] ?? 0, recovered: rest[i + 1] ?? 0 });
    return { inWork, groups: rest.slice(0, this.#groups), upstreams };
  }

  putName(name: EngineName): boolean {
    const record = encodeName(name);
    return record !== undefined && addon().dnsEnginePutName(this.#engine, record);
  }

  removeName(view: number, key: readonly string[]): void {
    const wire = encodeLabels(key);
    if (wire !== undefined) addon().dnsEngineRemoveName(this.#engine, view, Buffer.from(wire, "latin1"));
  }

  setView(view: number, state: keyof typeof VIEW_STATES): void {
    addon().dnsEngineView(this.#engine, view, VIEW_STATES[state]);
  }

  setGeneration(tag: number, generation: number): void {
    addon().dnsEngineGeneration(this.#engine, tag, generation);
  }

  setSerial(serial: number): void {
    addon().dnsEngineSerial(this.#engine, serial);
  }

  flush(): void {
    addon().dnsEngineFlush(this.#engine);
  }

  reply(to: UpPacket, bytes: Uint8Array): void {
    if (this.#isClosed || ROUTE_BYTES + bytes.length > OUT_BYTES) return;
    if (this.#outBytes + ROUTE_BYTES + bytes.length > OUT_BYTES) this.#send();
    const at = this.#outBytes;
    this.#out.set(to.route, at);
    this.#out.writeUInt16LE(bytes.length, at);
    this.#out.set(bytes, at + ROUTE_BYTES);
    this.#outBytes = at + ROUTE_BYTES + bytes.length;
    if (this.#isTaking || this.#isWaiting) return;
    // Replies of other promises and of other upstream packets of this turn go with it.
    this.#isWaiting = true;
    setImmediate(() => {
      this.#isWaiting = false;
      this.#send();
    });
  }

  counters(): EngineCounters {
    return readCounters(addon().dnsEngineCounters(this.#engine));
  }

  close(): void {
    this.#send();
    this.#isClosed = true;
    addon().dnsEngineClose(this.#engine);
  }

  #turn(): void {
    if (this.#isClosed) return;
    if (this.#waiting.length === 0) {
      const taken = addon().dnsEngineTake(this.#engine);
      if (taken.length === 0) return;
      this.#waiting.push(taken);
      this.#at = 0;
    }
    const batch = this.#waiting[0] ?? new Uint8Array();
    this.#isTaking = true;
    try {
      for (let i = 0; i < MAX_TURN && this.#at < batch.length; i++) {
        const packet = readPacket(batch, this.#at);
        this.#at += ROUTE_BYTES + packet.bytes.length + u16(batch, this.#at + 6);
        // Without a family it is news.
        if (packet.route[3] === 0) this.#onForwarding();
        else this.#onPacket(packet);
      }
    } finally {
      this.#isTaking = false;
      this.#send();
    }
    if (this.#at >= batch.length) this.#waiting.length = 0;
    setImmediate(() => this.#turn());
  }

  #send(): void {
    if (this.#outBytes === 0 || this.#isClosed) return;
    addon().dnsEngineSend(this.#engine, this.#out.subarray(0, this.#outBytes));
    this.#outBytes = 0;
  }
}

/** Layout: native/src/dns_packet_head.hpp. */
function readPacket(batch: Uint8Array, at: number): UpPacket {
  const route = batch.subarray(at, at + ROUTE_BYTES);
  const length = u16(route, 0);
  const extra = u16(route, 6);
  const behind = at + ROUTE_BYTES + length;
  const size = route[3] === 4 ? 4 : 16;
  return {
    listener: route[2] ?? 0,
    bytes: batch.subarray(at + ROUTE_BYTES, at + ROUTE_BYTES + length),
    address: addressText(route.subarray(16, 16 + size)),
    port: u16(route, 4),
    localAddress: addressText(route.subarray(32, 32 + size)),
    route,
    ...(extra === 0 ? {} : { verdict: readVerdict(batch.subarray(behind, behind + extra)) }),
  };
}

function readVerdict(bytes: Uint8Array): EngineVerdict {
  const errno = u16(bytes, 10);
  return {
    token: u32(bytes, 0),
    seconds: u32(bytes, 4) / 1e6,
    upstream: u16(bytes, 8),
    reply: errno === 0 ? bytes.subarray(VERDICT_BYTES) : { errno },
  };
}

function u32(bytes: Uint8Array, at: number): number {
  return u16(bytes, at) + u16(bytes, at + 2) * 0x1_0000;
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}

function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`;
  return ipFromBytes(bytes) ?? "";
}

function encodeAnswer(answer: EngineAnswer): Uint8Array {
  const ttls = answer.ageing?.ttlOffsets ?? [];
  const record = Buffer.alloc(RECORD_BYTES + 2 * ttls.length + answer.image.length);
  record[0] = answer.listener;
  record[1] = answer.keyFlags;
  record.writeUInt16LE(answer.type, 2);
  record.writeUInt16LE(answer.counter, 4);
  record.writeUInt16LE(answer.serialAt ?? 0, 6);
  record.writeUInt16LE(answer.rotate?.at ?? 0, 8);
  record.writeUInt16LE(answer.rotate?.count ?? 0, 10);
  record[12] = answer.rotate?.stride ?? 0;
  record[13] = ttls.length;
  record[14] = answer.tags.length;
  record.writeBigInt64LE(BigInt(answer.ageing?.baseMs ?? 0), 16);
  record.writeBigInt64LE(BigInt(Math.ceil(answer.expiresMs ?? 0)), 24);
  for (const [i, { tag, generation }] of answer.tags.entries()) {
    record.writeUInt16LE(tag, 32 + 2 * i);
    record.writeUInt32LE(generation, 40 + 4 * i);
  }
  record.writeUInt16LE(answer.image.length, 56);
  for (const [i, offset] of ttls.entries()) record.writeUInt16LE(offset, RECORD_BYTES + 2 * i);
  record.set(answer.image, RECORD_BYTES + 2 * ttls.length);
  return record;
}

function readCounters(numbers: Float64Array): EngineCounters {
  const at = (index: number): number => numbers[index] ?? 0;
  return {
    entries: at(0),
    bytes: at(1),
    names: at(2),
    nameBytes: at(3),
    received: at(4),
    answered: at(5),
    handedUp: at(6),
    overload: at(7),
    sendFailed: at(8),
    forwarded: at(9),
    slot: (index) => readSlot(numbers.subarray(SLOTS_AT + index * SLOT_NUMBERS)),
    upstream: (index) => readUpstream(numbers.subarray(HEAD_NUMBERS + index * UPSTREAM_NUMBERS)),
  };
}

function readUpstream(numbers: Float64Array): UpstreamCounters {
  const [kept = 0, opened = 0] = numbers;
  const replies = FORWARD_RCODES.map((_, i) => {
    const at = 2 + i * REPLY_NUMBERS;
    return { seconds: (numbers[at] ?? 0) / 1e9, durations: numbers.slice(at + 1, at + REPLY_NUMBERS) };
  });
  return { kept, opened, replies };
}

function readSlot(numbers: Float64Array): SlotCounters {
  const [ipv4 = 0, ipv6 = 0, dnssec = 0, requestBytes = 0, replyBytes = 0, nanoseconds = 0] = numbers;
  const sizes = 6 + SIZE_BUCKETS;
  return {
    ipv4,
    ipv6,
    dnssec,
    requestBytes,
    replyBytes,
    seconds: nanoseconds / 1e9,
    requestSizes: numbers.slice(6, sizes),
    replySizes: numbers.slice(sizes, sizes + SIZE_BUCKETS),
    durations: numbers.slice(sizes + SIZE_BUCKETS, SLOT_NUMBERS),
  };
}
