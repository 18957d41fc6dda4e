/**
 * Layer dns. From the octets of a query to the octets of its reply: what is no query is refused or dropped as the RFCs say,
 * the rest goes through the chain of its block. Exactly one reply per query, or none.
 */
import { randomBytes } from "node:crypto";
import { CLASS, OPCODE, RCODE } from "../../codec/dns/constants.ts";
import { decodeHeader, decodeMessage, type Header } from "../../codec/dns/decode.ts";
import { encodeMessage, MAX_MESSAGE_BYTES } from "../../codec/dns/encode.ts";
import type { DnsMessage, Question, ResourceRecord } from "../../codec/dns/message.ts";
import type { EngineVerdict } from "../../drivers/udp-engine/driver.ts";
import { type Outcome, PluginCrash } from "../plugin.ts";
import { type Client, DnsQuery, MAX_DEPTH, replyTo, type ServerLabels } from "../query.ts";
import type { DnsLog } from "../runtime.ts";
import type { Block, ZoneTable } from "./block.ts";
import { isCookie, ServerCookies } from "./cookies.ts";
import { OPTION, ReplyEdns } from "./reply-edns.ts";

/** Larger UDP replies than this are never sent, whatever the client says. */
const MAX_UDP_REPLY_BYTES = 4096;
const MIN_UDP_REPLY_BYTES = 512;

/** A record without long data takes at most 2 * 255 + 20 octets: 100 of them fit a message. */
const TRANSFER_RECORDS = 100;

/** One reply, the messages of a transfer, or nothing. */
export type Reply = Buffer | { readonly messages: readonly Buffer[] } | undefined;

/** The table that a listener answers from, with the label of the listener; replaced whole at a reload. */
export interface Target {
  readonly zones: ZoneTable;
  readonly server: string;
  /** Number of the listener inside the native engine. */
  readonly engineId?: number;
}

/** An answer that was sent over UDP through the native engine, for it to learn. */
export interface Answered {
  readonly query: DnsQuery;
  readonly block: Block;
  readonly target: Target;
  readonly outcome: Extract<Outcome, { readonly kind: "answer" }>;
  readonly message: DnsMessage;
}

export interface ResponderHooks {
  readonly log: DnsLog;
  /** Counts queries that reached no block, and crashes of plugins. */
  readonly onDropped: (server: string, rcode: number, client: Client) => void;
  readonly onCrash: () => void;
  /** Told of answers of listeners that have an `engineId`. */
  readonly onAnswered?: (answered: Answered) => void;
  /** Milliseconds of a clock that only goes forward. */
  readonly monotonicMs: () => number;
  /** Since 1970, for the times in cookies. */
  readonly nowSeconds: () => number;
}

const EMPTY: readonly never[] = [];

export class Responder {
  readonly #hooks: ResponderHooks;
  readonly #edns: ReplyEdns;

  constructor(hooks: ResponderHooks) {
    this.#hooks = hooks;
    const cookies = new ServerCookies(randomBytes(16), hooks.nowSeconds);
    this.#edns = new ReplyEdns(cookies);
  }

  /**
   * @param verdict what the native engine heard for the query when it forwarded it
   * @returns the reply, a promise of it, or `undefined` when nothing may be sent
   */
  respond(
    packet: Uint8Array,
    client: Client,
    target: Target,
    verdict?: EngineVerdict,
  ): Reply | Promise<Reply> {
    const header = decodeHeader(packet);
    if (header === undefined || (header.flags & 0x8000) !== 0) return undefined;
    const refusal = checkHeader(header);
    if (refusal !== undefined) return this.#refuse(header, refusal, packet, { client, target });
    const decoded = decodeMessage(packet);
    if (decoded.kind === "malformed") return this.#refuse(header, RCODE.FORMERR, packet, { client, target });
    const { message } = decoded;
    const question = message.questions[0];
    if (question === undefined) return this.#refuse(header, RCODE.FORMERR, packet, { client, target });
    if (message.edns !== undefined && message.edns.version !== 0) {
      return encodeMessage(this.#bare(message, RCODE.BADVERS, client), MIN_UDP_REPLY_BYTES);
    }
    if (
      message.edns?.options.some(({ code, bytes }) => code === OPTION.COOKIE && !isCookie(bytes)) === true
    ) {
      this.#hooks.onDropped(target.server, RCODE.FORMERR, client);
      return encodeMessage(this.#bare(message, RCODE.FORMERR, client), MIN_UDP_REPLY_BYTES);
    }
    return this.#run(message, question, { client, target, requestBytes: packet.length, verdict });
  }

  #refuse(
    header: Header,
    rcode: number,
    packet: Uint8Array,
    from: { readonly client: Client; readonly target: Target },
  ): Buffer {
    this.#hooks.onDropped(from.target.server, rcode, from.client);
    const decoded = header.questionCount === 1 ? decodeMessage(packet) : undefined;
    const question = decoded?.kind === "message" ? decoded.message.questions[0] : decoded?.question;
    return encodeMessage(
      {
        id: header.id,
        isResponse: true,
        opcode: (header.flags >> 11) & 15,
        authoritative: false,
        truncated: false,
        recursionDesired: (header.flags & 0x0100) !== 0,
        recursionAvailable: false,
        authenticData: false,
        checkingDisabled: (header.flags & 0x0010) !== 0,
        rcode,
        questions: question === undefined ? EMPTY : [question],
        answers: EMPTY,
        authorities: EMPTY,
        additionals: EMPTY,
      },
      MIN_UDP_REPLY_BYTES,
    );
  }

  #run(
    message: DnsMessage,
    question: Question,
    from: {
      readonly client: Client;
      readonly target: Target;
      readonly requestBytes: number;
      readonly verdict: EngineVerdict | undefined;
    },
  ): Reply | Promise<Reply> {
    const startMs = this.#hooks.monotonicMs();
    const { client, target } = from;
    const udpLimitBytes = udpLimit(message);
    const lowerName = question.name.toLowerCase();
    let query: DnsQuery | undefined;
    const block = target.zones.find(lowerName, question.type, (candidate, zone) => {
      const labels: ServerLabels = { server: target.server, zone, view: candidate.view };
      const resolve = this.#resolver(target);
      const { requestBytes, verdict } = from;
      query = new DnsQuery(message, question, {
        client,
        labels,
        resolve,
        depth: 0,
        udpLimitBytes,
        requestBytes,
        verdict,
      });
      candidate.collectMetadata?.(query);
      return candidate.viewFilter === undefined || candidate.viewFilter(query);
    });
    if (block === undefined || query === undefined) {
      this.#hooks.onDropped(target.server, RCODE.REFUSED, client);
      return encodeMessage(this.#bare(message, RCODE.REFUSED, client), MIN_UDP_REPLY_BYTES);
    }
    const asked = query;
    const outcome = block.chain(asked);
    const finish = (value: Outcome): Reply =>
      this.#finish(asked, block, value, { startMs, requestBytes: from.requestBytes, target });
    return outcome instanceof Promise ? outcome.then(finish) : finish(outcome);
  }

  #finish(
    query: DnsQuery,
    block: Block,
    outcome: Outcome,
    measured: { readonly startMs: number; readonly requestBytes: number; readonly target: Target },
  ): Reply {
    if (outcome.kind === "transfer") {
      const { messages } = this.#transfer(query, outcome.records);
      const message = replyTo(query, { authoritative: true, answers: outcome.records });
      this.#observe(query, block, outcome, {
        ...measured,
        message,
        replyBytes: messages.reduce((sum, bytes) => sum + bytes.length, 0),
      });
      return { messages };
    }
    const reply = this.#replyOf(query, block, outcome);
    const limit = query.client.transport === "udp" ? query.udpLimitBytes : MAX_MESSAGE_BYTES;
    const bytes = reply === undefined ? undefined : this.#encode(query, reply, limit);
    if (measured.target.engineId !== undefined && reply !== undefined && outcome.kind === "answer") {
      this.#hooks.onAnswered?.({ query, block, target: measured.target, outcome, message: reply });
    }
    this.#observe(query, block, outcome, { ...measured, message: reply, replyBytes: bytes?.length ?? 0 });
    return bytes;
  }

  #observe(
    query: DnsQuery,
    block: Block,
    outcome: Outcome,
    sent: {
      readonly startMs: number;
      readonly requestBytes: number;
      readonly message: DnsMessage | undefined;
      readonly replyBytes: number;
    },
  ): void {
    if (block.observers.length === 0) return;
    const { message, requestBytes, replyBytes } = sent;
    const seen = {
      by: outcome.kind === "next" ? "" : outcome.by,
      requestBytes,
      replyBytes,
      durationMs: this.#hooks.monotonicMs() - sent.startMs,
      ...(message === undefined ? {} : { message }),
      ...(outcome.kind === "failed" ? { cause: outcome.cause } : {}),
    };
    for (const observe of block.observers) observe(query, seen);
  }

  /** An answer that cannot be written (a name of somebody's object that is none) costs its query, not the server. */
  #encode(query: DnsQuery, reply: DnsMessage, limit: number): Buffer {
    try {
      return encodeMessage(reply, limit);
    } catch (error) {
      this.#hooks.onCrash();
      this.#hooks.log.error(
        `answer to ${query.name}: ${error instanceof Error ? error.message : String(error)}`,
      );
      return encodeMessage(this.#bare(query.message, RCODE.SERVFAIL, query.client), MIN_UDP_REPLY_BYTES);
    }
  }

  /** Each message stays below half the limit, so that names that repeat in another way fit as well. */
  #transfer(query: DnsQuery, records: readonly ResourceRecord[]): { readonly messages: readonly Buffer[] } {
    const messages: Buffer[] = [];
    for (let at = 0; at < records.length; at += TRANSFER_RECORDS) {
      const answers = records.slice(at, at + TRANSFER_RECORDS);
      messages.push(this.#encode(query, replyTo(query, { authoritative: true, answers }), MAX_MESSAGE_BYTES));
    }
    return { messages };
  }

  #replyOf(query: DnsQuery, block: Block, outcome: Outcome): DnsMessage | undefined {
    if (outcome.kind === "drop" || outcome.kind === "transfer") return undefined;
    if (outcome.kind === "answer") {
      // What an upstream says in its OPT is between it and us.
      const { edns, ...message } = outcome.message;
      void edns;
      return {
        ...message,
        id: query.message.id,
        isResponse: true,
        recursionDesired: query.message.recursionDesired,
        checkingDisabled: query.message.checkingDisabled,
        recursionAvailable: message.recursionAvailable || block.isRecursive,
        ...block.flags,
        questions: query.message.questions,
        ...this.#edns.of(query.message, query.client, query.replyOptions),
      };
    }
    if (outcome.kind === "failed" && outcome.cause instanceof PluginCrash) {
      this.#hooks.onCrash();
      this.#hooks.log.error(outcome.cause.message);
    }
    // A class that nobody serves is refused, and so is all of an empty block; a name that nobody serves is a broken
    // configuration (CoreDNS: SERVFAIL).
    const nobody = outcome.kind === "next" || (outcome.kind === "failed" && outcome.by === "");
    const isRefused = nobody && (query.class !== CLASS.IN || block.directives.length === 0);
    const rcode = isRefused ? RCODE.REFUSED : RCODE.SERVFAIL;
    return {
      ...replyTo(query, { rcode }),
      recursionAvailable: block.isRecursive,
      ...block.flags,
      questions: query.message.questions,
      ...this.#edns.of(query.message, query.client, query.replyOptions),
    };
  }

  /** A reply of the server itself. */
  #bare(message: DnsMessage, rcode: number, client: Client): DnsMessage {
    return {
      ...message,
      isResponse: true,
      authoritative: false,
      truncated: false,
      recursionAvailable: false,
      authenticData: false,
      rcode,
      answers: EMPTY,
      authorities: EMPTY,
      additionals: EMPTY,
      ...this.#edns.of(message, client),
    };
  }

  #resolver(target: Target): DnsQuery["resolve"] {
    return (query, name, type) => {
      if (query.depth >= MAX_DEPTH) {
        return {
          kind: "failed",
          by: "server",
          cause: new Error(`more than ${MAX_DEPTH} aliases: is there a loop at ${name}?`),
        };
      }
      const inner = query.inner(name, type);
      const block = target.zones.find(
        inner.lowerName,
        type,
        (candidate) => candidate.viewFilter === undefined || candidate.viewFilter(inner),
      );
      if (block !== undefined) return block.chain(inner);
      return { kind: "answer", by: "", message: replyTo(inner, { rcode: RCODE.REFUSED }) };
    };
  }
}

/** Counts that no query has (the limits are CoreDNS's), and operations that we do not perform. */
function checkHeader(header: Header): number | undefined {
  const opcode = (header.flags >> 11) & 15;
  if (opcode !== OPCODE.QUERY) return RCODE.NOTIMP;
  if (header.questionCount !== 1 || header.answerCount > 1) return RCODE.FORMERR;
  if (header.authorityCount > 1 || header.additionalCount > 2) return RCODE.FORMERR;
  return undefined;
}

function udpLimit(message: DnsMessage): number {
  if (message.edns === undefined) return MIN_UDP_REPLY_BYTES;
  return Math.min(MAX_UDP_REPLY_BYTES, Math.max(MIN_UDP_REPLY_BYTES, message.edns.udpBytes));
}
