/**
 * Layer dns. What a plugin is: it answers, says "next", or calls the rest of the chain and looks at what comes back.
 * A plugin is a folder below `plugins/` with `setup.ts` (Corefile lines to configuration), a file of its behaviour and a
 * README, and a line in `plugin-order.ts`.
 */
import type { TlsOptions } from "node:tls";
import type { DnsMessage, ResourceRecord } from "../codec/dns/message.ts";
import type { ListenAddress } from "./corefile/options.ts";
import type { Directive, ServerBlock } from "./corefile/parser.ts";
import type { ServerKey } from "./corefile/zones.ts";
import type { MetadataProvider } from "./metadata.ts";
import type { DnsQuery } from "./query.ts";
import type { Runtime } from "./runtime.ts";
import type { TcpLimits } from "./server/tcp-limits.ts";

/** What became of a query. Exactly one reply is sent for it, by the server. */
export type Outcome =
  | {
      readonly kind: "answer";
      readonly message: DnsMessage;
      readonly by: string;
      /** From a cache, and stays the same until then but for TTLs: those of the message are of `baseMs` (0: they stand). */
      readonly cached?: { readonly baseMs: number; readonly expiresMs: number };
    }
  /** A zone transfer: as many messages as the records need. Over TCP only. */
  | { readonly kind: "transfer"; readonly records: readonly ResourceRecord[]; readonly by: string }
  /** Not mine: the chain goes on. Never seen by callers of a {@link Rest}. */
  | { readonly kind: "next" }
  /** The client gets SERVFAIL, the log the cause. */
  | { readonly kind: "failed"; readonly cause: Error; readonly by: string }
  /** The client gets nothing. */
  | { readonly kind: "drop"; readonly by: string };

export const NEXT: Outcome = { kind: "next" };

/** The plugins behind one, as a function. A chain that ends without an answer has failed. */
export type Rest = (query: DnsQuery) => Outcome | Promise<Outcome>;

export interface Plugin {
  readonly name: string;
  /** Answers without a promise where it can: most queries cost no turn of the event loop. */
  handle(query: DnsQuery, rest: Rest): Outcome | Promise<Outcome>;
  /** All records of a zone, SOA first and last; `undefined` when the zone is not the plugin's or not complete. */
  transfer?(zone: string): readonly ResourceRecord[] | undefined;
}

/** What was sent for a query; given to observers after the fact. */
export interface Observation {
  /** Absent when nothing was sent. */
  readonly message?: DnsMessage;
  /** Plugin that wrote the reply, empty for the server itself. */
  readonly by: string;
  readonly cause?: Error;
  readonly requestBytes: number;
  readonly replyBytes: number;
  readonly durationMs: number;
}

export type Observer = (query: DnsQuery, seen: Observation) => void;

/** What a plugin's set-up sees of its server block, and what it can ask for. */
export interface SetupContext {
  readonly runtime: Runtime;
  readonly block: ServerBlock;
  readonly keys: readonly ServerKey[];
  /** Zones of the block's keys, absolute, lower case, each once. */
  readonly zones: readonly string[];
  /** Folder of the Corefile: relative paths start there. */
  readonly folder: string;
  /** Looks at every query of the block once its reply was sent. */
  readonly observe: (observer: Observer) => void;
  /** Serves `path` over HTTP. Blocks that name the same address share it. */
  readonly serveHttp: (address: ListenAddress, path: string, handler: HttpHandler) => void;
  /** Listens on these hosts only. */
  readonly bind: (hosts: readonly string[]) => void;
  /** Runs when the configuration goes live; the signal aborts when it is replaced or the daemon stops. */
  readonly onStart: (start: (signal: AbortSignal) => void | Promise<void>) => void;
  /** Sends a query of the plugin's own through the whole chain of the block; only once the block is built. */
  readonly ask: Rest;
  /** The plugins of the block, once it is built. */
  readonly plugins: () => readonly Plugin[];
  /** One more condition of `/ready`. */
  readonly readyWhen: (plugin: string, isReady: () => boolean) => void;
  /** Settings of the instance as a whole. */
  readonly instance: InstanceSettings;
  /** Certificate and key of the block's `tls://` and `https://` listeners. */
  readonly setTls: (options: TlsOptions) => void;
  /** Takes queries for which the filter is true; the others go on to the next block of the zone. */
  readonly setView: (name: string, filter: (query: DnsQuery) => boolean) => void;
  /** Tells what is known of a query; asked only in blocks with the `metadata` plugin. */
  readonly provideMetadata: (provider: MetadataProvider) => void;
  /** Queries of the block for which the filter is true have metadata. */
  readonly collectMetadata: (filter: (query: DnsQuery) => boolean) => void;
  /** Limits of the block's listeners over TCP and TLS. */
  readonly setTcpLimits: (limits: Partial<TcpLimits>) => void;
  /** Answers of this block may come from recursion: RA is set. */
  readonly setRecursive: () => void;
  /** RA and RD of all answers of the block, whatever plugins and clients say. */
  readonly setFlags: (flags: ReplyFlags) => void;
}

export type ReplyFlags = Partial<Pick<DnsMessage, "recursionAvailable" | "recursionDesired">>;

/** Collected while blocks are set up; the last word wins. */
export interface InstanceSettings {
  /** How long the daemon answers on after it was told to stop. */
  lameduckMs: number;
  /** Live pods are looked up by address. */
  wantsPods: boolean;
  reload?: { readonly intervalMs: number; readonly jitterMs: number };
  /** Plugins not ready, asked by `/ready`. */
  readonly notReady: () => readonly string[];
  /** True from the moment the daemon was told to stop. */
  readonly isStopping: () => boolean;
}

export interface HttpReply {
  readonly status: number;
  readonly body: string;
  readonly contentType?: string;
}

export type HttpHandler = () => HttpReply | Promise<HttpReply>;

export interface PluginDefinition {
  readonly name: string;
  /**
   * Gets all lines of the block that begin with the plugin's name, in order.
   * @throws {NodeplaneError} CONFIG_INVALID naming file, line and what is allowed
   */
  readonly setup: (directives: readonly Directive[], context: SetupContext) => readonly Plugin[];
}

/** Continues with an outcome now or when it is there. */
export function whenDone<T>(
  outcome: Outcome | Promise<Outcome>,
  then: (outcome: Outcome) => T | Promise<T>,
): T | Promise<T> {
  return outcome instanceof Promise ? outcome.then(then) : then(outcome);
}

/** The chain as one function, in the order given. Cost: one call a plugin. */
export function compileChain(plugins: readonly Plugin[]): Rest {
  let rest: Rest = () => EXHAUSTED;
  for (const plugin of plugins.toReversed()) rest = link(plugin, rest);
  return rest;
}

/** No plugin wanted the query. */
export const EXHAUSTED: Outcome = { kind: "failed", cause: new Error("no plugin answered"), by: "" };

function link(plugin: Plugin, rest: Rest): Rest {
  return (query) => {
    let outcome: Outcome | Promise<Outcome>;
    try {
      outcome = plugin.handle(query, rest);
    } catch (error) {
      return crashed(plugin, error);
    }
    if (outcome instanceof Promise) {
      return outcome.then(
        (value) => (value.kind === "next" ? rest(query) : value),
        (error: unknown) => crashed(plugin, error),
      );
    }
    return outcome.kind === "next" ? rest(query) : outcome;
  };
}

/** A plugin must not throw; one that does costs its query, not the server. */
function crashed(plugin: Plugin, error: unknown): Outcome {
  return {
    kind: "failed",
    by: plugin.name,
    cause: new PluginCrash(plugin.name, error),
  };
}

export class PluginCrash extends Error {
  override readonly name = "PluginCrash";

  constructor(plugin: string, cause: unknown) {
    super(
      `plugin ${plugin} threw: ${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}`,
      {
        cause,
      },
    );
  }
}
