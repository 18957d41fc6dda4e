/** Layer dns. The `forward` plugin: other names go to other resolvers, with another try elsewhere when one is silent. */
import { constants } from "node:os";
import { getSystemErrorName } from "node:util";
import { RCODE } from "../../../codec/dns/constants.ts";
import { decodeMessage } from "../../../codec/dns/decode.ts";
import type { DnsMessage } from "../../../codec/dns/message.ts";
import { isWithin } from "../../../codec/dns/name.ts";
import type { EngineVerdict } from "../../../drivers/udp-engine/driver.ts";
import { NEXT, type Outcome, type Plugin, type Rest } from "../../plugin.ts";
import { type DnsQuery, replyTo } from "../../query.ts";
import type { ForwardMetrics } from "./forward-metrics.ts";
import { unmixCase } from "./mixed-case.ts";
import type { Upstream } from "./upstream.ts";
import type { UpstreamList } from "./upstream-list.ts";

export type Policy = "random" | "round_robin" | "sequential";

export interface ForwardOptions {
  /** Zone of the names that are forwarded. */
  readonly from: readonly string[];
  readonly except: readonly string[];
  readonly policy: Policy;
  readonly transport: "client" | "tcp" | "prefer_udp";
  readonly readTimeoutMs: number;
  /** Attempts for one query; 0: as many as time allows. */
  readonly maxAttempts: number;
  /** Queries in work at most; 0: no limit. */
  readonly maxConcurrent: number;
  readonly failFast: boolean;
  /** Reply codes after which the next upstream is asked. */
  readonly failover: ReadonlySet<number>;
  /** Reply codes after which the next `forward` of the block is asked. */
  readonly next: ReadonlySet<number>;
  readonly nextOnNodata: boolean;
  readonly hasNextForward: boolean;
}

/** Over all attempts: what a stub resolver waits for. */
const DEADLINE_MS = 5_000;

/** The native engine, as far as it forwards for one plugin. */
export interface NativeLink {
  /** In the verdicts that are meant for this plugin. */
  readonly token: number;
  /** Queries that it is at. */
  readonly inWork: () => number;
}

export class ForwardPlugin implements Plugin {
  readonly name = "forward";
  readonly options: ForwardOptions;
  readonly upstreams: UpstreamList;
  readonly #metrics: ForwardMetrics;
  readonly #random: () => number;
  #inWork = 0;
  #turn = 0;
  #native: NativeLink | undefined;

  constructor(
    options: ForwardOptions,
    upstreams: UpstreamList,
    shared: { readonly metrics: ForwardMetrics; readonly random: () => number },
  ) {
    this.options = options;
    this.upstreams = upstreams;
    this.#metrics = shared.metrics;
    this.#random = shared.random;
  }

  /** The native engine forwards for this plugin as well, and tells what it heard. */
  link(native: NativeLink): void {
    this.#native = native;
  }

  handle(query: DnsQuery, rest: Rest): Outcome | Promise<Outcome> {
    const { from, except, maxConcurrent } = this.options;
    if (!from.some((zone) => isWithin(query.lowerName, zone))) return NEXT;
    if (except.some((zone) => isWithin(query.lowerName, zone))) return NEXT;
    const { verdict } = query;
    const heard =
      verdict !== undefined && verdict.token === this.#native?.token
        ? this.#conclude(query, verdict)
        : undefined;
    if (heard !== undefined) return heard;
    if (maxConcurrent > 0 && this.#inWork + (this.#native?.inWork() ?? 0) >= maxConcurrent) {
      this.#metrics.rejected();
      return { kind: "answer", by: this.name, message: replyTo(query, { rcode: RCODE.REFUSED }) };
    }
    this.#inWork++;
    return this.#forward(query, rest).finally(() => {
      this.#inWork--;
    });
  }

  /** @returns `undefined` when the upstream has to be asked nevertheless */
  #conclude(query: DnsQuery, verdict: EngineVerdict): Outcome | undefined {
    const upstream = this.upstreams.all[verdict.upstream];
    if (upstream === undefined) return undefined;
    const { reply, seconds } = verdict;
    if (!(reply instanceof Uint8Array)) {
      const cause = new Error(`${upstream.name}: ${this.#failure(reply.errno)}`);
      return { kind: "failed", by: this.name, cause };
    }
    const decoded = decodeMessage(reply);
    if (decoded.kind !== "message") return undefined;
    const { message } = decoded;
    if (message.truncated && this.options.transport === "prefer_udp") return undefined;
    upstream.replied(message.rcode, seconds);
    query.metadata?.set("forward/upstream", upstream.name);
    const spelled = unmixCase(message, message.questions[0]?.name ?? query.name, query.name);
    return { kind: "answer", by: this.name, message: spelled };
  }

  #failure(errno: number): string {
    if (errno === constants.errno.ETIMEDOUT) return `no reply within ${this.options.readTimeoutMs} ms`;
    return `UDP ${getSystemErrorName(-errno)}`;
  }

  async #forward(query: DnsQuery, rest: Rest): Promise<Outcome> {
    const until = performance.now() + DEADLINE_MS;
    let lastError: unknown = new Error("no upstream is healthy");
    let attempts = 0;
    for (const upstream of this.#order()) {
      const left = until - performance.now();
      if (left <= 0 || (this.options.maxAttempts > 0 && attempts >= this.options.maxAttempts)) break;
      attempts++;
      try {
        const timeoutMs = Math.min(left, this.options.readTimeoutMs);
        const reply = await this.#ask(upstream, query, timeoutMs);
        if (this.options.failover.has(reply.rcode)) {
          lastError = new Error(`${upstream.name} replied with code ${reply.rcode}`);
          continue;
        }
        query.metadata?.set("forward/upstream", upstream.name);
        if (this.#goesOn(reply)) return rest(query);
        return { kind: "answer", by: this.name, message: reply };
      } catch (error) {
        lastError = error instanceof Error ? new Error(`${upstream.name}: ${error.message}`) : error;
      }
    }
    const cause = lastError instanceof Error ? lastError : new Error(String(lastError));
    return { kind: "failed", by: this.name, cause };
  }

  async #ask(upstream: Upstream, query: DnsQuery, timeoutMs: number): Promise<DnsMessage> {
    const { transport } = this.options;
    const message = outgoing(query);
    const question = { name: query.name, type: query.type, class: query.class };
    const useTcp = transport === "tcp" || (transport === "client" && query.client.transport !== "udp");
    const reply = await upstream.ask(message, question, { useTcp, timeoutMs });
    if (!reply.truncated || useTcp || transport !== "prefer_udp") return reply;
    return upstream.ask(message, question, { useTcp: true, timeoutMs });
  }

  #goesOn(reply: DnsMessage): boolean {
    const { hasNextForward, next, nextOnNodata } = this.options;
    if (!hasNextForward) return false;
    return (
      next.has(reply.rcode) || (nextOnNodata && reply.rcode === RCODE.NOERROR && reply.answers.length === 0)
    );
  }

  /**
   * Upstreams to try: the healthy in the order of the policy, each as often as attempts allow. Are all down, one is tried
   * nevertheless, since the probe may be what fails.
   */
  #order(): readonly Upstream[] {
    const { all } = this.upstreams;
    const healthy = all.filter((upstream) => !upstream.isDown);
    if (healthy.length === 0) {
      this.#metrics.allDown();
      if (this.options.failFast) return [];
      const any = all[Math.floor(this.#random() * all.length)];
      return any === undefined ? [] : [any];
    }
    const ordered = this.#rotate(healthy);
    return [...ordered, ...ordered];
  }

  #rotate(upstreams: readonly Upstream[]): readonly Upstream[] {
    if (this.options.policy === "sequential" || upstreams.length === 1) return upstreams;
    const start =
      this.options.policy === "round_robin"
        ? this.#turn++ % upstreams.length
        : Math.floor(this.#random() * upstreams.length);
    return [...upstreams.slice(start), ...upstreams.slice(0, start)];
  }
}

/**
 * What goes upstream: the question and the client's wishes; of EDNS options only those that plugins put in, none of the
 * client's (they are hop by hop, RFC 6891).
 */
function outgoing(query: DnsQuery): DnsMessage {
  const { message, upstreamOptions: options } = query;
  return {
    id: 0,
    isResponse: false,
    opcode: message.opcode,
    authoritative: false,
    truncated: false,
    recursionDesired: message.recursionDesired,
    recursionAvailable: false,
    authenticData: message.authenticData,
    checkingDisabled: message.checkingDisabled,
    rcode: 0,
    questions: [{ name: query.name, type: query.type, class: query.class }],
    answers: [],
    authorities: [],
    additionals: [],
    ...(message.edns === undefined && options.length === 0
      ? {}
      : {
          edns: {
            udpBytes: UPSTREAM_UDP_BYTES,
            version: 0,
            dnssecOk: message.edns?.dnssecOk ?? false,
            options,
          },
        }),
  };
}

/** Avoids fragments (DNS flag day 2020). */
const UPSTREAM_UDP_BYTES = 1232;
