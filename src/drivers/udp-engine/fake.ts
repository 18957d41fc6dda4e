/**
 * Layer drivers. The engine without sockets and threads, for tests: the same rules written for reading, not for speed.
 * `ask` is what a client does; packets without an answer are handed up at once. It leaves names to the chain and only keeps
 * what was put.
 */
import { decodeMessage } from "../../codec/dns/decode.ts";
import type { DnsMessage } from "../../codec/dns/message.ts";
import {
  type EngineAnswer,
  type EngineCounters,
  type EngineGroup,
  type EngineName,
  type EngineRoute,
  type EngineView,
  type ForwardState,
  KEY_FLAG,
  type UdpEngine,
  type UpPacket,
  type UpstreamHealth,
} from "./driver.ts";

/** Answered by the chain. */
const OPTION_COOKIE = 10;
const HEADER_BYTES = 12;
const NO_NUMBERS = new Float64Array();

export class FakeUdpEngine implements UdpEngine {
  readonly published = new Map<string, EngineAnswer>();
  readonly sent: Uint8Array[] = [];
  readonly names = new Map<string, EngineName>();
  readonly views = new Map<number, string>();
  readonly kept = new Map<string, number>();
  readonly health = new Map<number, UpstreamHealth>();
  readonly groupsOff = new Set<number>();
  /** What {@link forwarding} says: it forwards nothing itself. */
  state: ForwardState = { inWork: 0, groups: [], upstreams: [] };
  configured:
    | {
        readonly views: readonly EngineView[];
        readonly routes: readonly EngineRoute[];
        readonly groups: readonly EngineGroup[];
      }
    | undefined;
  readonly #generations = new Map<number, number>();
  readonly #now: () => number;
  readonly #onPacket: (packet: UpPacket) => void;
  #serial = 0;
  #answered = 0;
  #handedUp = 0;

  constructor(now: () => number, onPacket: (packet: UpPacket) => void) {
    this.#now = now;
    this.#onPacket = onPacket;
  }

  /** The engine's own reply to a packet, `undefined` when it was handed up. */
  ask(listener: number, packet: Uint8Array): Buffer | undefined {
    const decoded = decodeMessage(packet);
    const reply = decoded.kind === "message" ? this.#reply(listener, decoded.message, packet) : undefined;
    if (reply !== undefined) {
      this.#answered++;
      return reply;
    }
    this.#handedUp++;
    const from = { address: "127.0.0.1", port: 5000, localAddress: "127.0.0.1", route: new Uint8Array() };
    this.#onPacket({ listener, bytes: packet, ...from });
    return undefined;
  }

  listen(): void {}
  unlisten(): void {}
  close(): void {}

  publish(answer: EngineAnswer): void {
    const decoded = decodeMessage(answer.image);
    const name = decoded.kind === "message" ? (decoded.message.questions[0]?.name ?? "") : "";
    const isExact = (answer.keyFlags & KEY_FLAG.exact) !== 0;
    this.published.set(
      keyOf(answer.listener, isExact ? name : name.toLowerCase(), answer.type, answer.keyFlags),
      answer,
    );
  }

  configure(
    views: readonly EngineView[],
    routes: readonly EngineRoute[],
    groups: readonly EngineGroup[],
  ): void {
    this.configured = { views, routes, groups };
    this.health.clear();
    this.groupsOff.clear();
  }

  markKept(name: string, type: number, keyFlags: number, untilMs: number): void {
    this.kept.set(`${name} ${type} ${keyFlags}`, untilMs);
  }

  setUpstream(index: number, health: UpstreamHealth): void {
    this.health.set(index, health);
  }

  setGroup(index: number, isOn: boolean): void {
    if (isOn) this.groupsOff.delete(index);
    else this.groupsOff.add(index);
  }

  forwarding(): ForwardState {
    return this.state;
  }

  putName(name: EngineName): boolean {
    this.names.set(`${name.view} ${name.key.join(".")}`, name);
    return true;
  }

  removeName(view: number, key: readonly string[]): void {
    this.names.delete(`${view} ${key.join(".")}`);
  }

  setView(view: number, state: "on" | "off" | "forgotten"): void {
    this.views.set(view, state);
    if (state !== "forgotten") return;
    for (const [key, name] of this.names) if (name.view === view) this.names.delete(key);
  }

  setGeneration(tag: number, generation: number): void {
    this.#generations.set(tag, generation);
  }

  setSerial(serial: number): void {
    this.#serial = serial;
  }

  flush(): void {
    this.published.clear();
  }

  reply(_to: UpPacket, bytes: Uint8Array): void {
    this.sent.push(bytes);
  }

  counters(): EngineCounters {
    const slot = { ipv4: 0, ipv6: 0, dnssec: 0, requestBytes: 0, replyBytes: 0, seconds: 0 };
    const none = { requestSizes: NO_NUMBERS, replySizes: NO_NUMBERS, durations: NO_NUMBERS };
    return {
      entries: this.published.size,
      bytes: 0,
      names: this.names.size,
      nameBytes: 0,
      received: this.#answered + this.#handedUp,
      answered: this.#answered,
      handedUp: this.#handedUp,
      overload: 0,
      sendFailed: 0,
      forwarded: 0,
      slot: () => ({ ...slot, ...none }),
      upstream: () => ({ kept: 0, opened: 0, replies: [] }),
    };
  }

  #reply(listener: number, query: DnsMessage, packet: Uint8Array): Buffer | undefined {
    const [question] = query.questions;
    if (question === undefined || query.isResponse || query.opcode !== 0 || question.class !== 1)
      return undefined;
    if (query.edns !== undefined && query.edns.version !== 0) return undefined;
    if (query.edns?.options.some(({ code }) => code === OPTION_COOKIE) === true) return undefined;
    const flags =
      (query.recursionDesired ? KEY_FLAG.recursion : 0) |
      (query.checkingDisabled ? KEY_FLAG.checking : 0) |
      (query.authenticData ? KEY_FLAG.authentic : 0) |
      (query.edns?.dnssecOk === true ? KEY_FLAG.dnssec : 0);
    const answer = [
      this.published.get(keyOf(listener, question.name.toLowerCase(), question.type, flags)),
      this.published.get(keyOf(listener, question.name, question.type, flags | KEY_FLAG.exact)),
    ].find((candidate) => candidate !== undefined && this.#isValid(candidate));
    return answer === undefined ? undefined : this.#write(answer, query, packet);
  }

  #isValid({ tags, expiresMs }: EngineAnswer): boolean {
    if (expiresMs !== undefined && this.#now() >= expiresMs) return false;
    return tags.every(({ tag, generation }) => (this.#generations.get(tag) ?? 0) === generation);
  }

  #write(answer: EngineAnswer, query: DnsMessage, packet: Uint8Array): Buffer | undefined {
    const reply = Buffer.from(answer.image);
    const nameBytes = nameEnd(packet) - HEADER_BYTES;
    reply.set(packet.subarray(0, 2));
    const copied = query.recursionDesired ? 0x0100 : 0;
    reply.writeUInt16BE((reply.readUInt16BE(2) & ~0x0110) | copied | (query.checkingDisabled ? 0x10 : 0), 2);
    reply.set(packet.subarray(HEADER_BYTES, HEADER_BYTES + nameBytes), HEADER_BYTES);
    if (answer.serialAt !== undefined) reply.writeUInt32BE(this.#serial, answer.serialAt);
    const { ageing } = answer;
    const age =
      ageing === undefined || ageing.baseMs === 0 ? 0 : Math.floor((this.#now() - ageing.baseMs) / 1000);
    for (const at of ageing?.ttlOffsets ?? [])
      reply.writeUInt32BE(Math.max(0, reply.readUInt32BE(at) - age), at);
    if (query.edns === undefined) return reply.length <= 512 ? reply : undefined;
    reply.writeUInt16BE(reply.readUInt16BE(10) + 1, 10);
    const opt = Buffer.from([0, 0, 41, 4, 208, 0, 0, query.edns.dnssecOk ? 0x80 : 0, 0, 0, 0]);
    const whole = Buffer.concat([reply, opt]);
    return whole.length <= Math.min(4096, Math.max(512, query.edns.udpBytes)) ? whole : undefined;
  }
}

function nameEnd(packet: Uint8Array): number {
  let at = HEADER_BYTES;
  while ((packet[at] ?? 0) !== 0) at += (packet[at] ?? 0) + 1;
  return at + 1;
}

function keyOf(listener: number, name: string, type: number, flags: number): string {
  return `${listener} ${name} ${type} ${flags}`;
}
