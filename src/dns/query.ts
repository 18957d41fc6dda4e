/**
 * Layer dns. One query on its way through the plugins, and what plugins build answers with.
 */
import { CLASS, RCODE } from "../codec/dns/constants.ts";
import type { DnsMessage, EdnsOption, Question, RecordData, ResourceRecord } from "../codec/dns/message.ts";
import type { EngineVerdict } from "../drivers/udp-engine/driver.ts";
import type { QueryMetadata } from "./metadata.ts";
import type { Outcome } from "./plugin.ts";

export type Transport = "udp" | "tcp" | "tls" | "https";

/** Who asked, and where. */
export interface Client {
  readonly transport: Transport;
  readonly address: string;
  readonly port: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** Over TCP and TLS: how long the connection is kept without a query. */
  readonly idleTimeoutMs?: number;
}

/** Labels that metrics and logs give to a server block's listener. */
export interface ServerLabels {
  /** As CoreDNS writes it: `dns://:53`, `dns://10.0.0.1:53`. */
  readonly server: string;
  /** With final dot. */
  readonly zone: string;
  readonly view: string;
}

/** Asks the whole server, from its first plugin on, for another name. */
export type Resolve = (query: DnsQuery, name: string, type: number) => Outcome | Promise<Outcome>;

/** Aliases followed for one query, and other questions asked on its behalf one inside the other. */
export const MAX_DEPTH = 10;

export class DnsQuery {
  readonly message: DnsMessage;
  /** As asked: spelling kept. */
  readonly name: string;
  readonly lowerName: string;
  readonly type: number;
  readonly class: number;
  readonly client: Client;
  readonly labels: ServerLabels;
  readonly resolve: Resolve;
  /** 0 for what a client sent; grows with questions that plugins ask in its name. */
  readonly depth: number;
  /** Largest UDP reply in octets; plugins may lower it. */
  udpLimitBytes: number;
  /** EDNS options that plugins add to the reply of a client that uses EDNS; one list for a query and what is made of it. */
  readonly replyOptions: EdnsOption[];
  /** Options that plugins put into what goes upstream; the client's own go no further than here. */
  upstreamOptions: readonly EdnsOption[];
  /** Only where the block has the `metadata` plugin. */
  metadata: QueryMetadata | undefined;
  /** What an upstream said to the native engine, before the query came to the chain. */
  readonly verdict: EngineVerdict | undefined;
  /** Size of the client's packet; 0 for questions of our own. */
  readonly requestBytes: number;

  constructor(
    message: DnsMessage,
    question: Question,
    context: {
      readonly client: Client;
      readonly labels: ServerLabels;
      readonly resolve: Resolve;
      readonly depth: number;
      readonly udpLimitBytes: number;
      readonly replyOptions?: EdnsOption[];
      readonly upstreamOptions?: readonly EdnsOption[];
      readonly metadata?: QueryMetadata | undefined;
      readonly requestBytes?: number;
      readonly verdict?: EngineVerdict | undefined;
    },
  ) {
    this.message = message;
    this.name = question.name;
    this.lowerName = question.name.toLowerCase();
    this.type = question.type;
    this.class = question.class;
    this.client = context.client;
    this.labels = context.labels;
    this.resolve = context.resolve;
    this.depth = context.depth;
    this.udpLimitBytes = context.udpLimitBytes;
    this.replyOptions = context.replyOptions ?? [];
    this.upstreamOptions = context.upstreamOptions ?? [];
    this.metadata = context.metadata;
    this.requestBytes = context.requestBytes ?? 0;
    this.verdict = context.verdict;
  }

  /** The same query with another question or other settings in its message. */
  with(change: { readonly question?: Question; readonly message?: DnsMessage }): DnsQuery {
    const question = change.question ?? { name: this.name, type: this.type, class: this.class };
    const message = change.message ?? { ...this.message, questions: [question] };
    return new DnsQuery(message, question, this);
  }

  /** A question asked on behalf of this query. */
  inner(name: string, type: number): DnsQuery {
    const question = { name, type, class: CLASS.IN };
    const message = { ...this.message, questions: [question] };
    return new DnsQuery(message, question, {
      client: this.client,
      labels: this.labels,
      resolve: this.resolve,
      udpLimitBytes: this.udpLimitBytes,
      replyOptions: this.replyOptions,
      metadata: this.metadata,
      depth: this.depth + 1,
    });
  }
}

const NONE: readonly ResourceRecord[] = [];

/** A query that the server itself asks: for prefetching and probes. */
export function ownQuery(question: Question, labels: ServerLabels): DnsQuery {
  const message: DnsMessage = {
    id: 0,
    isResponse: false,
    opcode: 0,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: RCODE.NOERROR,
    questions: [question],
    answers: NONE,
    authorities: NONE,
    additionals: NONE,
  };
  const client: Client = {
    transport: "udp",
    address: "127.0.0.1",
    port: 0,
    localAddress: "127.0.0.1",
    localPort: 0,
  };
  return new DnsQuery(message, question, {
    client,
    labels,
    depth: 0,
    udpLimitBytes: 1232,
    resolve: () => ({ kind: "failed", by: "server", cause: new Error("not for the server's own questions") }),
  });
}

/** What a reply holds besides what follows from the query. */
export interface ReplyParts {
  readonly rcode?: number;
  readonly authoritative?: boolean;
  readonly truncated?: boolean;
  readonly answers?: readonly ResourceRecord[];
  readonly authorities?: readonly ResourceRecord[];
  readonly additionals?: readonly ResourceRecord[];
}

/** A reply to `query`: identifier, opcode, RD, CD and question copied. The server adds EDNS. */
export function replyTo(query: DnsQuery, parts: ReplyParts): DnsMessage {
  return {
    id: query.message.id,
    isResponse: true,
    opcode: query.message.opcode,
    authoritative: parts.authoritative ?? false,
    truncated: parts.truncated ?? false,
    recursionDesired: query.message.recursionDesired,
    recursionAvailable: false,
    authenticData: false,
    checkingDisabled: query.message.checkingDisabled,
    rcode: parts.rcode ?? RCODE.NOERROR,
    questions: [{ name: query.name, type: query.type, class: query.class }],
    answers: parts.answers ?? NONE,
    authorities: parts.authorities ?? NONE,
    additionals: parts.additionals ?? NONE,
  };
}

/** A record of class IN. */
export function record(name: string, type: number, ttl: number, data: RecordData): ResourceRecord {
  return { name, type, class: CLASS.IN, ttl, data };
}
