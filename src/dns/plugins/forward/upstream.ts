/**
 * Layer dns. One upstream: its clients, its failures, and the probe that finds out when it is back. An upstream that
 * answers SERVFAIL to the probe is not back.
 */
import type { ConnectionOptions } from "node:tls";
import { CLASS, OPCODE, RCODE, TYPE } from "../../../codec/dns/constants.ts";
import type { DnsMessage, Question } from "../../../codec/dns/message.ts";
import type { EngineUpstream, UpstreamHealth } from "../../../drivers/udp-engine/driver.ts";
import type { IpAddress } from "../../../model/ip.ts";
import { OtherSpelling } from "./exchange.ts";
import type { ForwardMetrics } from "./forward-metrics.ts";
import { HttpsClient } from "./https-client.ts";
import { mixCase, unmixCase } from "./mixed-case.ts";
import { TcpClient } from "./tcp-client.ts";
import { UdpClient } from "./udp-client.ts";
import { formatUpstream, type UpstreamAddress } from "./upstream-address.ts";

export interface UpstreamOptions {
  readonly expireMs: number;
  /** Down when more attempts than this failed one after another; 0: never. */
  readonly maxFails: number;
  readonly probeIntervalMs: number;
  readonly probeName: string;
  readonly probeRecursion: boolean;
  readonly tls: ConnectionOptions;
  /** Nothing goes over UDP, probes included. */
  readonly forcesTcp: boolean;
  readonly httpsMethod: "POST" | "GET";
  /** Address to send from. */
  readonly source?: IpAddress;
  readonly random: () => number;
}

export interface UdpTarget extends Omit<EngineUpstream, "counter"> {
  /** Of a socket. */
  readonly lifeMs: number;
}

/** As CoreDNS labels what is no UDP. */
const PROTOCOLS = { dns: "tcp", tls: "tcp-tls", https: "https" } as const;
const PROBE_TIMEOUT_MS = 1_000;

export class Upstream {
  readonly name: string;
  readonly #address: UpstreamAddress;
  readonly #options: UpstreamOptions;
  readonly #metrics: ForwardMetrics;
  readonly #udp: UdpClient;
  /** TCP, TLS or HTTPS. */
  readonly #stream: TcpClient | HttpsClient;
  #fails = 0;
  /** False once it was seen to reply with other letters than it was asked with. */
  #keepsCase = true;
  #probe: NodeJS.Timeout | undefined;
  #isClosed = false;
  #onHealth: ((health: UpstreamHealth) => void) | undefined;

  constructor(address: UpstreamAddress, options: UpstreamOptions, metrics: ForwardMetrics) {
    this.name = formatUpstream(address);
    this.#address = address;
    this.#options = options;
    this.#metrics = metrics;
    const { expireMs, random, source } = options;
    const proto = PROTOCOLS[address.transport];
    const onUse = (wasKept: boolean): void => metrics.connection(this.name, proto, wasKept);
    const shared = { address, expireMs, random, onUse, ...(source === undefined ? {} : { source }) };
    const onUdp = (wasKept: boolean): void => metrics.connection(this.name, "udp", wasKept);
    this.#udp = new UdpClient({ ...shared, onUse: onUdp });
    const { serverName } = address;
    const tls = { ...options.tls, ...(serverName === "" ? {} : { servername: serverName }) };
    if (address.transport === "https") {
      const from = source === undefined ? {} : { localAddress: source };
      this.#stream = new HttpsClient({ ...shared, method: options.httpsMethod, tls: { ...tls, ...from } });
    } else {
      this.#stream = new TcpClient({ ...shared, ...(address.transport === "tls" ? { tls } : {}) });
    }
  }

  get isDown(): boolean {
    return this.#options.maxFails > 0 && this.#fails > this.#options.maxFails;
  }

  /** Where UDP goes; `undefined` for an upstream that is asked in another way. */
  get udpTarget(): UdpTarget | undefined {
    const { address, port, scope } = this.#address;
    const { source, expireMs: lifeMs } = this.#options;
    if (this.#isStream || scope !== "") return undefined;
    return { address, port, lifeMs, ...(source === undefined ? {} : { source }) };
  }

  get #isStream(): boolean {
    return this.#options.forcesTcp || this.#address.transport !== "dns";
  }

  /** @throws {UpstreamError} when no reply came */
  async ask(
    message: DnsMessage,
    question: Question,
    how: { readonly useTcp: boolean; readonly timeoutMs: number },
  ): Promise<DnsMessage> {
    const startMs = performance.now();
    try {
      const reply =
        how.useTcp || this.#isStream
          ? await this.#stream.ask(message, question, how.timeoutMs)
          : await this.#askUdp(message, question, how.timeoutMs);
      this.#recovered();
      this.#metrics.reply(this.name, reply.rcode, (performance.now() - startMs) / 1000);
      return reply;
    } catch (error) {
      this.#metrics.failure(this.name);
      this.#failed();
      throw error;
    }
  }

  /**
   * With a name in random letters. A reply in others is not believed: TCP, which is hard to forge, gives the answer then, and
   * tells whether this upstream copies names at all. One that does not, or has no TCP, is asked in the client's letters from
   * then on.
   */
  async #askUdp(message: DnsMessage, question: Question, timeoutMs: number): Promise<DnsMessage> {
    if (!this.#keepsCase) return this.#udp.ask(message, question, timeoutMs, false);
    const name = mixCase(question.name);
    const mixed = { ...question, name };
    const sent = { ...message, questions: [mixed] };
    try {
      return unmixCase(await this.#udp.ask(sent, mixed, timeoutMs, true), name, question.name);
    } catch (error) {
      if (!(error instanceof OtherSpelling)) throw error;
    }
    const reply = await this.#stream.ask(sent, mixed, timeoutMs).catch(() => undefined);
    this.#keepsCase = reply !== undefined && (reply.questions[0]?.name ?? name) === name;
    this.#tell();
    return reply === undefined
      ? this.#udp.ask(message, question, timeoutMs, false)
      : unmixCase(reply, name, question.name);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#probe);
    this.#udp.close();
    this.#stream.close();
  }

  /** The native engine asks this upstream too: it is told now and whenever something changes. */
  shareHealth(onHealth: (health: UpstreamHealth) => void): void {
    this.#onHealth = onHealth;
    this.#tell();
  }

  /** What the native engine saw: queries without a reply, and then perhaps one with. */
  seen(failures: number, isBack: boolean): void {
    for (let i = 0; i < failures; i++) {
      this.#metrics.failure(this.name);
      this.#failed();
    }
    if (isBack) this.#recovered();
  }

  /** A reply to the native engine, which the chain uses. */
  replied(rcode: number, seconds: number): void {
    this.#metrics.reply(this.name, rcode, seconds);
  }

  #tell(): void {
    this.#onHealth?.({ isDown: this.isDown, isSuspect: this.#fails > 0, losesCase: !this.#keepsCase });
  }

  #recovered(): void {
    if (this.#fails === 0) return;
    this.#fails = 0;
    this.#tell();
  }

  #failed(): void {
    this.#fails++;
    this.#tell();
    if (this.#options.maxFails === 0 || this.#probe !== undefined || this.#isClosed) return;
    this.#probe = setTimeout(() => void this.#check(), this.#options.probeIntervalMs);
    this.#probe.unref();
  }

  /** Asks for the servers of the root until there is a useful reply. */
  async #check(): Promise<void> {
    const question = { name: this.#options.probeName, type: TYPE.NS, class: CLASS.IN };
    const probe = probeMessage(question, this.#options.probeRecursion);
    const reply = this.#isStream
      ? this.#stream.ask(probe, question, PROBE_TIMEOUT_MS)
      : this.#udp.ask(probe, question, PROBE_TIMEOUT_MS, false);
    const isBack = await reply.then(
      ({ rcode }) => rcode !== RCODE.SERVFAIL,
      () => false,
    );
    this.#probe = undefined;
    if (this.#isClosed) return;
    if (isBack) {
      this.#recovered();
      return;
    }
    this.#metrics.probeFailure(this.name);
    this.#failed();
  }
}

function probeMessage(question: Question, recursionDesired: boolean): DnsMessage {
  return {
    id: 0,
    isResponse: false,
    opcode: OPCODE.QUERY,
    authoritative: false,
    truncated: false,
    recursionDesired,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: 0,
    questions: [question],
    answers: [],
    authorities: [],
    additionals: [],
  };
}
