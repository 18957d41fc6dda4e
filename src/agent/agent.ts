/**
 * Layer agent. The daemon: feed -> reconciler -> kernel, with health, metrics, status, node registration and workloads
 * around it. Owns time, logs and the order of starting and stopping; decides nothing about packets.
 */
import type { Programmed } from "../feed/feed.ts";
import type { IpFamily } from "../model/ip.ts";
import type { Node, ObjectProblem } from "../model/objects.ts";
import { VERSION } from "../model/version.ts";
import type { AgentFeed } from "./agent-feed.ts";
import type { Clock } from "./clock.ts";
import type { AgentSettings } from "./config/agent-settings.ts";
import { FeedTap } from "./feed-tap.ts";
import { AgentHealth } from "./health/agent-health.ts";
import { healthReply } from "./health/health-replies.ts";
import { HttpListener, type HttpReply } from "./health/http-listener.ts";
import type { Host } from "./host/host.ts";
import { nodeConfig } from "./host/node-config.ts";
import type { Logger } from "./log.ts";
import { AgentMetrics, type MetricsSnapshot } from "./metrics/agent-metrics.ts";
import { metricsReply } from "./metrics/metrics-replies.ts";
import { Reconciler } from "./reconcile/reconciler.ts";
import type { AgentStatus } from "./status/agent-status.ts";
import { openStatusSocket } from "./status/status-socket.ts";

export interface AgentOptions {
  readonly settings: AgentSettings;
  /** What was configured, for `/configz`. */
  readonly configuration: unknown;
  readonly host: Host;
  readonly source: AgentFeed;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Longest wait for unwritten changes when the agent stops. */
const STOP_WAIT_MS = 2000;

export class Agent {
  readonly #options: AgentOptions;
  readonly #startedAtMs: number;
  readonly #reconciler: Reconciler;
  readonly #health: AgentHealth;
  readonly #metrics: AgentMetrics;
  readonly #tap: FeedTap;
  readonly #listeners: HttpListener[] = [];
  #node: Node | undefined;
  #connected = false;
  #announced = false;
  #fullSyncs = -1;
  #syncs = 0;

  constructor(options: AgentOptions) {
    const { settings, host, clock, log } = options;
    this.#options = options;
    this.#startedAtMs = clock.now();
    this.#reconciler = new Reconciler({
      mode: settings.mode,
      drivers: host.nft,
      node: this.#nodeConfig(),
      log: (level, message, fields) => log[level](fields, message),
      onProgrammed: (programmed) => this.#programmed(programmed),
      onProblems: (problems) => this.#problems(problems),
    });
    this.#health = new AgentHealth({
      clock,
      timeoutMs: 2 * settings.syncPeriodMs,
      state: () => this.#reconciler.status(),
    });
    this.#metrics = new AgentMetrics(Object.keys(host.nft) as IpFamily[], () => this.#snapshot());
    this.#tap = new FeedTap({
      nodeName: settings.nodeName,
      target: this.#reconciler,
      observers: [],
      onNode: (node) => this.#setNode(node),
      onCommit: (_batch, changes) => this.#metrics.queued(changes, clock.now()),
      onConnection: (connected, reason) => this.#connection(connected, reason),
    });
  }

  /**
   * Runs until `signal` aborts. The rules stay in the kernel.
   * @throws {NodeplaneError} for what can never work: unreadable objects, a taken address with `bindAddressHardFail`
   */
  async run(signal: AbortSignal): Promise<void> {
    const { host, source, log } = this.#options;
    try {
      host.watchAddresses(() => this.#addressesChanged(), signal);
      await this.#listen();
      this.#connected = true;
      await source.feed.run(this.#tap, signal);
      log.info("stopping; the rules stay");
      host.notify("STOPPING=1");
      await this.#settle();
    } finally {
      this.#reconciler.stop();
      await Promise.all(this.#listeners.map((listener) => listener.close()));
    }
  }

  /** For `nodeplane status`. */
  status(): AgentStatus {
    const { settings, source } = this.#options;
    const config = this.#nodeConfig();
    return {
      version: VERSION,
      nodeName: settings.nodeName,
      startedAt: new Date(this.#startedAtMs).toISOString(),
      ready: this.#health.isReady,
      healthy: this.#health.isHealthy,
      feed: {
        source: source.description,
        connected: this.#connected,
        synced: source.feed.synced,
        ageSeconds: source.feed.ageSeconds(),
        problems: source.problems(),
        counters: source.counters(),
      },
      programmed: this.#reconciler.status(),
      node: {
        zone: config.zone ?? "",
        addresses: config.primaryAddresses,
        podCIDRs: (this.#node?.podCIDRs ?? []).map((cidr) => `${cidr.address}/${cidr.prefixBits}`),
      },
      preconditions: [],
      workloads: [],
      refusedManifests: [],
    };
  }

  #nodeConfig() {
    const { settings, host } = this.#options;
    return nodeConfig(settings, host.addresses(), this.#node);
  }

  #setNode(node: Node | undefined): void {
    this.#node = node;
    this.#health.setNode(node);
    this.#reconciler.setNode(this.#nodeConfig());
  }

  #addressesChanged(): void {
    const config = this.#nodeConfig();
    this.#options.log.info({ addresses: config.nodeAddresses }, "addresses of the node changed");
    this.#reconciler.setNode(config);
  }

  #connection(connected: boolean, reason: string): void {
    this.#connected = connected;
    this.#options.log[connected ? "info" : "warn"](
      { reason },
      connected ? "feed connected" : "feed disconnected",
    );
  }

  #programmed(programmed: Programmed): void {
    const { clock, source, host, log } = this.#options;
    const status = this.#reconciler.status();
    const nowMs = clock.now();
    const fullSyncs = status.families.reduce((sum, family) => sum + family.counters.fullSyncs, 0);
    if (status.syncs.count !== this.#syncs) {
      this.#metrics.synced(status.syncs.lastSeconds, fullSyncs !== this.#fullSyncs, nowMs);
    }
    this.#syncs = status.syncs.count;
    this.#fullSyncs = fullSyncs;
    for (const changedAtMs of this.#tap.changedUpTo(programmed.revision)) {
      if (changedAtMs >= this.#startedAtMs) this.#metrics.programmingLatency((nowMs - changedAtMs) / 1000);
    }
    source.feed.acknowledge(programmed);
    if (this.#announced || !status.programmed) return;
    this.#announced = true;
    host.notify(`READY=1\nSTATUS=Programmed ${status.services} services at revision ${programmed.revision}`);
    log.info(
      { revision: programmed.revision.toString(), services: status.services },
      "rules are in the kernel",
    );
  }

  #problems(problems: readonly ObjectProblem[]): void {
    for (const { object, reason, field, message } of problems) {
      this.#options.log.warn({ object, reason, field }, message);
    }
  }

  #snapshot(): MetricsSnapshot {
    const { source } = this.#options;
    return {
      reconciler: this.#reconciler.status(),
      feedAgeSeconds: source.feed.ageSeconds(),
      feedConnected: this.#connected,
      feedSynced: source.feed.synced,
      missingPreconditions: 0,
      workloads: { ready: 0, notReady: 0, refused: 0 },
      noLocalEndpoints: [],
      stream: source.counters(),
    };
  }

  async #listen(): Promise<void> {
    const { settings, clock, log, configuration } = this.#options;
    const health = (url: URL): HttpReply =>
      healthReply(url, {
        health: this.#health,
        nowMs: clock.now(),
        missing: [],
        count: (endpoint, status) => this.#metrics.healthAnswer(endpoint, status),
      });
    const metrics = (url: URL): Promise<HttpReply> =>
      metricsReply(url, { metrics: this.#metrics, mode: settings.mode, configuration });
    const servers = [
      { name: "health", listen: settings.healthz, handle: health },
      { name: "metrics", listen: settings.metrics, handle: metrics },
    ];
    for (const { name, listen, handle } of servers) {
      if (listen === undefined) continue;
      const hardFail = settings.bindAddressHardFail;
      const listener = new HttpListener({ name, listen: { ...listen }, handle, hardFail, log, clock });
      this.#listeners.push(listener);
      await listener.open();
    }
    if (settings.statusSocket === "") return;
    const status = () => this.status();
    const socket = await openStatusSocket({ path: settings.statusSocket, status, log, clock });
    if (socket !== undefined) this.#listeners.push(socket);
  }

  /** Lets what was received reach the kernel, for a moment. */
  async #settle(): Promise<void> {
    const { clock } = this.#options;
    await Promise.race([
      this.#reconciler.idle(),
      new Promise<void>((resolve) => void clock.after(STOP_WAIT_MS, resolve)),
    ]);
  }
}
