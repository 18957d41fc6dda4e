/** Layer dns. What UDP sockets and TCP connections to an upstream have in common: queries that wait for a reply with their identifier. */
import { decodeMessage } from "../../../codec/dns/decode.ts";
import type { DnsMessage, Question } from "../../../codec/dns/message.ts";

export class UpstreamError extends Error {
  override readonly name = "UpstreamError";
  /** True when nothing was heard: counts against the upstream's health. */
  readonly isTimeout: boolean;

  constructor(message: string, isTimeout = false) {
    super(message);
    this.isTimeout = isTimeout;
  }
}

/** A reply to our question, but in other letters (see mixed-case.ts): forged, or of a server that does not copy names. */
export class OtherSpelling extends UpstreamError {}

interface Waiting {
  readonly question: Question;
  /** The reply must repeat the spelling of the question. */
  readonly isExact: boolean;
  readonly resolve: (message: DnsMessage) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

const MAX_IDENTIFIERS = 65_536;

/** Queries in flight on one socket, by identifier. */
export class WaitingReplies {
  readonly #waiting = new Map<number, Waiting>();
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** An identifier that no query in flight has. */
  freshId(): number {
    let id = Math.floor(this.#random() * MAX_IDENTIFIERS);
    while (this.#waiting.has(id)) id = (id + 1) % MAX_IDENTIFIERS;
    return id;
  }

  /** The reply to `id`, or an error after the time. */
  expect(id: number, question: Question, timeoutMs: number, isExact: boolean): Promise<DnsMessage> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new UpstreamError(`no reply within ${timeoutMs} ms`, true));
      }, timeoutMs);
      this.#waiting.set(id, { question, isExact, resolve, reject, timer });
    });
  }

  /** Takes what came in. What is no reply to a question of ours is ignored: it may be forged, the true one may still come. */
  receive(packet: Uint8Array): void {
    const decoded = decodeMessage(packet);
    if (decoded.kind !== "message" || !decoded.message.isResponse) return;
    const { message } = decoded;
    const waiting = this.#waiting.get(message.id);
    if (waiting === undefined || !isReplyTo(message, waiting.question)) return;
    this.#waiting.delete(message.id);
    clearTimeout(waiting.timer);
    const spelling = message.questions[0]?.name ?? waiting.question.name;
    if (waiting.isExact && spelling !== waiting.question.name) {
      waiting.reject(new OtherSpelling("a reply spelled the question in another way"));
    } else waiting.resolve(message);
  }

  failAll(error: Error): void {
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const waiting of all) {
      clearTimeout(waiting.timer);
      waiting.reject(error);
    }
  }
}

/** Servers that understood nothing of a query may leave its question out. */
export function isReplyTo(message: DnsMessage, question: Question): boolean {
  const [answered] = message.questions;
  if (answered === undefined) return message.rcode !== 0;
  return (
    answered.type === question.type &&
    answered.class === question.class &&
    answered.name.toLowerCase() === question.name.toLowerCase()
  );
}
