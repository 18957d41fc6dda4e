/**
 * Layer dns. A parsed Corefile turned into what answers: blocks with their chains, listeners, pages, hooks. Building has
 * no effect outside: a configuration that fails here has touched nothing.
 */
import { dirname } from "node:path";
import type { TlsOptions } from "node:tls";
import { corefileError } from "../corefile/corefile-error.ts";
import type { ServerBlock } from "../corefile/parser.ts";
import { parseServerKey, type ServerKey } from "../corefile/zones.ts";
import { type MetadataProvider, QueryMetadata } from "../metadata.ts";
import {
  compileChain,
  EXHAUSTED,
  type HttpHandler,
  type InstanceSettings,
  type Observer,
  type Plugin,
  type ReplyFlags,
  type Rest,
} from "../plugin.ts";
import { PLUGIN_ORDER, UNSUPPORTED_PLUGINS } from "../plugin-order.ts";
import type { DnsQuery } from "../query.ts";
import type { Runtime } from "../runtime.ts";
import { type Block, formatListener, type ListenerSpec, type ViewFilter, ZoneTable } from "./block.ts";
import type { TcpLimits } from "./tcp-limits.ts";

export interface InstanceListener {
  readonly spec: ListenerSpec;
  readonly zones: ZoneTable;
  /** Of the first block on the listener that has one; only for `tls://` and `https://`. */
  readonly tls?: TlsOptions;
  /** Of the first block; what is missing is as ever. */
  readonly tcpLimits: Partial<TcpLimits>;
}

export interface Instance {
  readonly listeners: readonly InstanceListener[];
  readonly blocks: readonly Block[];
  readonly pages: ReadonlyMap<string, ReadonlyMap<string, HttpHandler>>;
  readonly settings: InstanceSettings;
  /** Runs what plugins do in the background until the signal aborts. */
  readonly start: (signal: AbortSignal) => Promise<void>;
}

export interface InstanceOptions {
  /** For keys without a port. */
  readonly defaultPort: number;
  readonly isStopping: () => boolean;
}

/** @throws {NodeplaneError} CONFIG_INVALID with file, line and directive */
export function buildInstance(
  parsed: readonly ServerBlock[],
  runtime: Runtime,
  options: InstanceOptions,
): Instance {
  const builder = new InstanceBuilder(runtime, options);
  for (const block of parsed) builder.add(block);
  return builder.finish();
}

type Start = (signal: AbortSignal) => void | Promise<void>;

class InstanceBuilder {
  readonly #runtime: Runtime;
  readonly #options: InstanceOptions;
  readonly #blocks: Block[] = [];
  readonly #listeners = new Map<string, InstanceListener>();
  readonly #pages = new Map<string, Map<string, HttpHandler>>();
  readonly #starts: Start[] = [];
  readonly #conditions: { readonly plugin: string; readonly isReady: () => boolean }[] = [];
  readonly #settings: InstanceSettings;

  constructor(runtime: Runtime, options: InstanceOptions) {
    this.#runtime = runtime;
    this.#options = options;
    this.#settings = {
      lameduckMs: 0,
      wantsPods: false,
      isStopping: options.isStopping,
      notReady: () => [
        ...new Set(this.#conditions.filter(({ isReady }) => !isReady()).map(({ plugin }) => plugin)),
      ],
    };
  }

  add(parsed: ServerBlock): void {
    const keys = this.#keys(parsed);
    const byName = Map.groupBy(parsed.directives, (directive) => directive.name);
    for (const directive of parsed.directives) checkName(directive.name, directive);
    const hosts: string[] = [];
    const observers: Observer[] = [];
    const plugins: Plugin[] = [];
    const compiled: Rest[] = [];
    let isRecursive = false;
    let flags: ReplyFlags = {};
    let tls: TlsOptions | undefined;
    const providers: MetadataProvider[] = [];
    let hasMetadata: ((query: DnsQuery) => boolean) | undefined;
    let tcpLimits: Partial<TcpLimits> = {};
    let view: { readonly name: string; readonly filter: ViewFilter } | undefined;
    const context = {
      runtime: this.#runtime,
      block: parsed,
      keys,
      zones: [...new Set(keys.map((key) => key.zone))],
      folder: dirname(parsed.file),
      observe: (observer: Observer) => void observers.push(observer),
      serveHttp: (address: { host: string; port: number }, path: string, handler: HttpHandler) =>
        this.#page(`${address.host}:${address.port}`, path, handler),
      bind: (names: readonly string[]) => void hosts.push(...names),
      onStart: (start: Start) => void this.#starts.push(start),
      readyWhen: (plugin: string, isReady: () => boolean) => void this.#conditions.push({ plugin, isReady }),
      instance: this.#settings,
      ask: (query: DnsQuery) => compiled[0]?.(query) ?? EXHAUSTED,
      plugins: () => plugins,
      setRecursive: () => {
        isRecursive = true;
      },
      setFlags: (forced: ReplyFlags) => {
        flags = forced;
      },
      setTls: (options: TlsOptions) => {
        tls = options;
      },
      setView: (name: string, filter: ViewFilter) => {
        view = { name, filter };
      },
      provideMetadata: (provider: MetadataProvider) => void providers.push(provider),
      collectMetadata: (filter: (query: DnsQuery) => boolean) => {
        hasMetadata = filter;
      },
      setTcpLimits: (limits: Partial<TcpLimits>) => {
        tcpLimits = limits;
      },
    };
    for (const definition of PLUGIN_ORDER) {
      const directives = byName.get(definition.name);
      if (directives !== undefined) plugins.push(...definition.setup(directives, context));
    }
    const chain = compileChain(plugins);
    compiled.push(chain);
    const block: Block = {
      keys,
      hosts,
      chain,
      observers,
      isRecursive,
      flags,
      directives: parsed.directives,
      plugins,
      view: view?.name ?? "",
      ...(view === undefined ? {} : { viewFilter: view.filter }),
      ...(hasMetadata === undefined ? {} : { collectMetadata: collector(hasMetadata, providers) }),
    };
    this.#blocks.push(block);
    for (const key of keys)
      this.#listen(parsed, key, block, { tcpLimits, ...(tls === undefined ? {} : { tls }) });
  }

  finish(): Instance {
    return {
      listeners: [...this.#listeners.values()],
      blocks: this.#blocks,
      pages: this.#pages,
      settings: this.#settings,
      start: async (signal) => {
        await Promise.all(this.#starts.map(async (start) => start(signal)));
      },
    };
  }

  #keys(parsed: ServerBlock): readonly ServerKey[] {
    return parsed.keys.flatMap((text) => {
      const result = parseServerKey(text, this.#options.defaultPort);
      if (result.kind === "bad") throw corefileError(parsed, "", result.reason);
      return result.keys;
    });
  }

  /** The first block that serves a page keeps it. */
  #page(address: string, path: string, handler: HttpHandler): void {
    const pages = this.#pages.get(address) ?? new Map<string, HttpHandler>();
    this.#pages.set(address, pages);
    if (!pages.has(path)) pages.set(path, handler);
  }

  #listen(
    parsed: ServerBlock,
    key: ServerKey,
    block: Block,
    settings: Pick<InstanceListener, "tls" | "tcpLimits">,
  ): void {
    if (key.scheme !== "dns" && settings.tls === undefined) {
      throw corefileError(parsed, "", `${key.scheme}:// needs the tls plugin with a certificate and a key`);
    }
    for (const host of block.hosts.length === 0 ? [""] : block.hosts) {
      const spec = { scheme: key.scheme, host, port: key.port };
      const name = formatListener(spec);
      const known = this.#listeners.get(name) ?? { spec, zones: new ZoneTable(), ...settings };
      this.#listeners.set(name, known);
      if (!known.zones.add(key.zone, block)) {
        throw corefileError(parsed, "", `${name} already serves the zone "${key.zone}"`);
      }
    }
  }
}

function collector(
  isWanted: (query: DnsQuery) => boolean,
  providers: readonly MetadataProvider[],
): (query: DnsQuery) => void {
  return (query) => {
    if (isWanted(query)) query.metadata = new QueryMetadata(query, providers);
  };
}

function checkName(name: string, at: { readonly file: string; readonly line: number }): void {
  if (PLUGIN_ORDER.some((definition) => definition.name === name)) return;
  const reason = UNSUPPORTED_PLUGINS.includes(name) ? "is not part of nodeplane" : "is not known";
  const known = PLUGIN_ORDER.map((definition) => definition.name).join(", ");
  throw corefileError(at, name, `this plugin ${reason}; allowed: ${known}`);
}
