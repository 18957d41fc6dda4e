/**
 * Layer dns. The resolver as a daemon: configuration to server, feed to cluster data, reload, lameduck and drain. Owns no
 * flags and no signals: both come from the command.
 */

import { networkInterfaces } from "node:os";
import { isDeepStrictEqual } from "node:util";
import { ThreadPriorities } from "../drivers/process/thread-priorities.ts";
import type { Feed } from "../feed/feed.ts";
import { type IpAddress, parseIp } from "../model/ip.ts";
import type { ObjectKind } from "../model/objects.ts";
import { VERSION } from "../model/version.ts";
import { ClusterState } from "./cluster/cluster-state.ts";
import { observeProgramming } from "./cluster/programming-metric.ts";
import { type CorefileOrigin, type LoadedCorefile, loadCorefile } from "./corefile/load.ts";
import type { Environment } from "./corefile/tokens.ts";
import { DnsEngine } from "./engine/engine.ts";
import { MetricSet } from "./metrics/metric-set.ts";
import type { DnsLog, Runtime } from "./runtime.ts";
import { DnsServer } from "./server/dns-server.ts";
import { buildInstance, type Instance } from "./server/instance.ts";

export interface DaemonOptions {
  readonly corefile: CorefileOrigin;
  readonly defaultPort: number;
  readonly env: Environment;
  readonly log: DnsLog;
  /**
   * Opens the source of objects, with kinds that the configuration needs beside Services, EndpointSlices and Namespaces.
   * `undefined`: names of a cluster are unknown, the rest works.
   */
  readonly openFeed: (kinds: readonly ObjectKind[]) => Feed | undefined;
  /** Stands in for the machine's own addresses in NS answers. */
  readonly localAddresses?: readonly IpAddress[];
  /** Treats the data as incomplete for ever: what is missing stays SERVFAIL. For tests of that state. */
  readonly holdUnsynced?: boolean;
  /** UDP through the native engine, where there is one. */
  readonly engine?: boolean;
  /** Called once when names are answered: listening, and synced or tired of waiting. */
  readonly onReady?: (addresses: readonly string[], httpAddresses: readonly string[]) => void;
}

const SYNC_WAIT_MS = 5_000;

export class DnsDaemon {
  readonly #options: DaemonOptions;
  readonly #runtime: Runtime;
  readonly #server: DnsServer;
  /** Absent without the native engine. */
  readonly #priorities: ThreadPriorities | undefined;
  #hash = "";
  #isStopping = false;
  #reloading: Promise<void> = Promise.resolve();
  #source: Source | undefined;
  /** Rejects when a feed can never work. */
  readonly #broken = Promise.withResolvers<never>();

  constructor(options: DaemonOptions) {
    this.#options = options;
    const metrics = new MetricSet();
    const cluster = options.holdUnsynced === true ? new UnsyncedState(Date.now) : new ClusterState(Date.now);
    const given = options.localAddresses;
    this.#runtime = {
      cluster,
      metrics,
      log: options.log,
      now: Date.now,
      random: Math.random,
      localAddresses: given === undefined ? interfaceAddresses : () => given,
      version: VERSION,
    };
    const engine = options.engine === true ? DnsEngine.open(this.#runtime) : undefined;
    this.#priorities = engine === undefined ? undefined : new ThreadPriorities("dns-");
    this.#server = new DnsServer(this.#runtime, engine);
    addFeedMetrics(metrics, this.#runtime, () => this.#source?.feed);
    observeProgramming(cluster, metrics, Date.now);
    const { log } = options;
    cluster.onCommit((_changed, batch) => {
      this.#source?.feed.acknowledge({ revision: batch.revision, refused: [] });
    });
    cluster.onConnection = (isConnected, reason) =>
      isConnected ? log.info(`feed: ${reason}`) : log.warn(`feed: ${reason}; answering from what is known`);
  }

  /** Parses and builds without any effect. @throws {NodeplaneError} CONFIG_INVALID, FILE_UNREADABLE */
  check(): void {
    this.#build(this.#load());
  }

  /**
   * Runs until the signal aborts, then drains.
   * @throws {NodeplaneError} when the configuration is bad, an address is taken, or the feed can never work
   */
  async run(signal: AbortSignal): Promise<void> {
    const loaded = this.#load();
    const instance = this.#build(loaded);
    await this.#server.apply(instance);
    await this.#priorities?.arrange();
    this.#follow(instance);
    this.#setHash(loaded.hash);
    this.#options.log.info("listening", { addresses: this.#server.addresses() });
    const ended = new AbortController();
    try {
      await Promise.race([this.#broken.promise, this.#serve(AbortSignal.any([signal, ended.signal]))]);
    } finally {
      ended.abort();
      await this.#stop();
      this.#source?.abort.abort();
    }
  }

  /** Reads the configuration again; a bad one leaves the old in place and is logged. */
  reload(): Promise<void> {
    this.#reloading = this.#reloading.then(() => this.#reload());
    return this.#reloading;
  }

  async #reload(): Promise<void> {
    if (this.#isStopping) return;
    const failed = this.#runtime.metrics.counter("coredns_reload_failed_total", "Reloads that were refused.");
    try {
      const loaded = this.#load();
      if (loaded.hash === this.#hash) return;
      const instance = this.#build(loaded);
      await this.#server.apply(instance);
      await this.#priorities?.arrange();
      this.#follow(instance);
      this.#setHash(loaded.hash);
      this.#options.log.info("reloaded", { addresses: this.#server.addresses() });
    } catch (error) {
      failed.child().add();
      const text = error instanceof Error ? error.message : String(error);
      this.#options.log.error(`reload refused, the old configuration goes on: ${text}`);
    }
  }

  #setHash(hash: string): void {
    this.#hash = hash;
    const version = this.#runtime.metrics.gauge(
      "coredns_reload_version_info",
      "1, with the hash of the Corefile.",
      ["hash", "value"],
    );
    version.reset();
    version.child("sha512", hash).value = 1;
  }

  #load(): LoadedCorefile {
    return loadCorefile(this.#options.corefile, this.#options.env);
  }

  #build(loaded: LoadedCorefile): Instance {
    return buildInstance(loaded.blocks, this.#runtime, {
      defaultPort: this.#options.defaultPort,
      isStopping: () => this.#isStopping,
    });
  }

  /** Starts the feed, or starts it anew when the configuration needs other kinds; what is known stays meanwhile. */
  #follow(instance: Instance): void {
    const kinds: readonly ObjectKind[] = instance.settings.wantsPods ? ["Pod"] : [];
    if (this.#source !== undefined && isDeepStrictEqual(this.#source.kinds, kinds)) return;
    this.#source?.abort.abort();
    const { cluster } = this.#runtime;
    const feed = this.#options.openFeed(kinds);
    if (feed === undefined) {
      const batch = { revision: 0n, snapshot: true, origin: "live", changedAtMs: 0 } as const;
      cluster.begin(batch);
      cluster.commit(batch);
      return;
    }
    const abort = new AbortController();
    this.#source = { feed, kinds, abort };
    feed.run(cluster, abort.signal).catch((error: unknown) => this.#broken.reject(error));
  }

  /** Waits for the first data, says that it is ready, then looks after reloads until the signal aborts. */
  async #serve(signal: AbortSignal): Promise<void> {
    await synced(this.#runtime.cluster, signal);
    if (signal.aborted) return;
    const { log, onReady } = this.#options;
    const { cluster } = this.#runtime;
    const addresses = this.#server.addresses();
    const http = this.#server.httpAddresses();
    log.info("ready", { addresses, http, synced: cluster.synced, services: cluster.services.size });
    onReady?.(addresses, http);
    while (!signal.aborted) {
      const reload = this.#server.instance?.settings.reload;
      await sleep(reload === undefined ? 5_000 : reload.intervalMs + Math.random() * reload.jitterMs, signal);
      if (reload !== undefined && !signal.aborted) await this.reload();
    }
  }

  /** Lameduck: `/ready` says no, answers go on; then the drain. */
  async #stop(): Promise<void> {
    this.#isStopping = true;
    const lameduckMs = this.#server.instance?.settings.lameduckMs ?? 0;
    if (lameduckMs > 0 && this.#server.instance !== undefined) {
      this.#options.log.info(`stopping: answering for another ${lameduckMs} ms`);
      await sleep(lameduckMs, new AbortController().signal);
    }
    await this.#server.stop();
    this.#options.log.info("stopped");
  }
}

class UnsyncedState extends ClusterState {
  override get synced(): boolean {
    return false;
  }
}

interface Source {
  readonly feed: Feed;
  readonly kinds: readonly ObjectKind[];
  readonly abort: AbortController;
}

function addFeedMetrics(metrics: MetricSet, runtime: Runtime, feed: () => Feed | undefined): void {
  const age = metrics.gauge("nodeplane_dns_data_age_seconds", "Time since the data equalled its source.");
  const services = metrics.gauge("nodeplane_dns_services", "Services known.");
  metrics.onCollect(() => {
    age.child().value = feed()?.ageSeconds() ?? 0;
    services.child().value = runtime.cluster.services.size;
  });
}

async function synced(cluster: ClusterState, signal: AbortSignal): Promise<void> {
  if (cluster.synced) return;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, SYNC_WAIT_MS);
    const off = cluster.onCommit(done);
    signal.addEventListener("abort", done, { once: true });
    function done(): void {
      clearTimeout(timer);
      off();
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}

let cachedAddresses: readonly IpAddress[] = [];
let cachedAtMs = Number.NEGATIVE_INFINITY;
const ADDRESS_CACHE_MS = 2_000;

/** Addresses of the interfaces, loopback and link-local left out; read at most every two seconds. */
function interfaceAddresses(): readonly IpAddress[] {
  if (performance.now() - cachedAtMs < ADDRESS_CACHE_MS) return cachedAddresses;
  cachedAtMs = performance.now();
  const found = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter((entry) => !entry.internal && !entry.address.startsWith("fe80:"))
    .flatMap((entry) => parseIp(entry.address) ?? []);
  if (!isDeepStrictEqual(found, cachedAddresses)) cachedAddresses = found;
  return cachedAddresses;
}
