/**
 * Layer dns. One upstream: its clients, its failures, and the probe that finds out when it is back. An upstream that
 * answers SERVFAIL to the probe is not back.
 */
import type { ConnectionOptions } from "node:tls";
import { CLASS, OPCODE, RCODE, TYPE } from "../../../codec/dns/constants.ts";
import type { DnsMessage, Question } from "../../../codec/dns/message.ts";
import type { ForwardMetrics } from "./forward-metrics.ts";
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
  readonly random: () => number;
}

const PROBE_TIMEOUT_MS = 1_000;

export class Upstream {
  readonly name: string;
  readonly #address: UpstreamAddress;
  readonly #options: UpstreamOptions;
  readonly #metrics: ForwardMetrics;
  readonly #udp: UdpClient;
  readonly #tcp: TcpClient;
  #fails = 0;
  #probe: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(address: UpstreamAddress, options: UpstreamOptions, metrics: ForwardMetrics) {
    this.name = formatUpstream(address);
    this.#address = address;
    this.#options = options;
    this.#metrics = metrics;
    this.#udp = new UdpClient(address, options.expireMs, options.random);
    const { serverName } = address;
    const tls = { ...options.tls, ...(serverName === "" ? {} : { servername: serverName }) };
    this.#tcp = new TcpClient({
      address,
      expireMs: options.expireMs,
      random: options.random,
      onUse: (wasKept) => metrics.connection(this.name, wasKept),
      ...(address.transport === "tls" ? { tls } : {}),
    });
  }

  get isDown(): boolean {
    return this.#options.maxFails > 0 && this.#fails > this.#options.maxFails;
  }

  /** @throws {UpstreamError} when no reply came */
  async ask(
    message: DnsMessage,
    question: Question,
    how: { readonly useTcp: boolean; readonly timeoutMs: number },
  ): Promise<DnsMessage> {
    const startMs = performance.now();
    const client = how.useTcp || this.#address.transport === "tls" ? this.#tcp : this.#udp;
    try {
      const reply = await client.ask(message, question, how.timeoutMs);
      this.#fails = 0;
      this.#metrics.reply(this.name, reply.rcode, (performance.now() - startMs) / 1000);
      return reply;
    } catch (error) {
      this.#metrics.failure(this.name);
      this.#failed();
      throw error;
    }
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#probe);
    this.#udp.close();
    this.#tcp.close();
  }

  #failed(): void {
    this.#fails++;
    if (this.#options.maxFails === 0 || this.#probe !== undefined || this.#isClosed) return;
    this.#probe = setTimeout(() => void this.#check(), this.#options.probeIntervalMs);
    this.#probe.unref();
  }

  /** Asks for the servers of the root until there is a useful reply. */
  async #check(): Promise<void> {
    const question = { name: this.#options.probeName, type: TYPE.NS, class: CLASS.IN };
    const isBack = await (this.#address.transport === "tls" ? this.#tcp : this.#udp)
      .ask(probeMessage(question, this.#options.probeRecursion), question, PROBE_TIMEOUT_MS)
      .then(
        (reply) => reply.rcode !== RCODE.SERVFAIL,
        () => false,
      );
    this.#probe = undefined;
    if (this.#isClosed) return;
    if (isBack) {
      this.#fails = 0;
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
