/**
 * Layer agent. The daemon: joins programming (feed to kernel), reporting (node, workloads), preconditions, health, metrics
 * and status; owns the order of starting and stopping. Decides nothing about packets.
 */
import type { IpAddress, IpFamily } from "../model/ip.ts";
import { VERSION } from "../model/version.ts";
import { hasLocalhostNodePorts } from "../plan/iptables/node-rules.ts";
import { nodePortScope } from "../plan/node-config.ts";
import type { AgentFeed } from "./agent-feed.ts";
import { type Clock, every } from "./clock.ts";
import type { AgentSettings } from "./config/agent-settings.ts";
import { healthReply } from "./health/health-replies.ts";
import { HttpListener, type HttpReply } from "./health/http-listener.ts";
import type { Host } from "./host/host.ts";
import type { Logger } from "./log.ts";
import { AgentMetrics } from "./metrics/agent-metrics.ts";
import { metricsReply } from "./metrics/metrics-replies.ts";
import type { MetricsSnapshot } from "./metrics/metrics-snapshot.ts";
import { changedSysctlsPath } from "./preconditions/changed-sysctls.ts";
import { runCommand } from "./preconditions/forward-policy.ts";
import { Preconditions } from "./preconditions/preconditions.ts";
import { Programming } from "./programming.ts";
import type { ServiceConnections } from "./reconcile/service-connections.ts";
import type { ReconcilerStatus } from "./reconcile/status.ts";
import { Reporting } from "./reporting.ts";
import { LocalServices } from "./services/local-services.ts";
import { type ServiceHealth, ServiceHealthServers } from "./services/service-health.ts";
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

/** Others change firewalls and sysctls too. */
const PRECONDITIONS_MS = 60_000;
/** Soon after the start it is known whether the kernel takes the rules. */
const FIRST_LOOK_MS = 3000;

export class Agent {
  readonly #options: AgentOptions;
  readonly #startedAtMs: number;
  readonly #metrics: AgentMetrics;
  readonly #programming: Programming;
  readonly #reporting: Reporting;
  readonly #preconditions: Preconditions;
  readonly #serviceHealth: ServiceHealthServers;
  #healthWanted: readonly ServiceHealth[] = [];
  readonly #listeners: HttpListener[] = [];
  #serving: Promise<void> = Promise.resolve();

  constructor(options: AgentOptions) {
    const { settings, host, source, clock, log } = options;
    this.#options = options;
    this.#startedAtMs = clock.now();
    const metrics = () => this.#metrics;
    this.#programming = new Programming({
      settings,
      host,
      source,
      clock,
      log,
      metrics,
      observers: [new LocalServices(settings.nodeName, (wanted) => this.#serve(wanted))],
      onReady: (status) => this.#ready(status),
      onNodeChange: () => {
        this.#reporting.changed();
        // The addresses that health checks of Services answer on may be others now.
        this.#serve(this.#healthWanted);
      },
    });
    this.#reporting = new Reporting({
      settings,
      reporter: source.reporter,
      clock,
      log,
      metrics,
      addresses: () => this.#programming.config.primaryAddresses,
      readiness: () => this.#readiness(),
    });
    this.#preconditions = new Preconditions({
      host,
      conntrack: settings.conntrack,
      hasLocalhostNodePorts: () =>
        this.#programming.status().programmed && hasLocalhostNodePorts(this.#programming.config, "ip"),
      ...(settings.mode === "ipvs" ? { ipvs: settings.ipvs } : {}),
      mayWrite: settings.setPreconditions,
      hasFailedWrites: () =>
        settings.mode === "nftables" &&
        this.#programming.status().families.some(({ counters }) => counters.failedCommits > 0),
      changedPath: changedSysctlsPath(settings.stateDir),
      run: runCommand,
      log,
    });
    this.#serviceHealth = new ServiceHealthServers({
      addresses: () => this.#healthAddresses(),
      isHealthy: () => this.#programming.health.isHealthy,
      log,
      clock,
      onBindFailure: ({ namespace, name, port, uid }, message) => {
        const text = `node ${settings.nodeName} cannot listen on healthCheckNodePort ${port}: ${message}`;
        this.#reporting.event({ kind: "Service", namespace, name }, uid, {
          type: "Warning",
          reason: "FailedToStartServiceHealthcheck",
          message: text,
        });
      },
    });
    this.#metrics = new AgentMetrics(Object.keys(host.nft) as IpFamily[], () => this.#snapshot());
  }

  /**
   * Runs until `signal` aborts. The rules stay in the kernel.
   * @throws {NodeplaneError} for what can never work: unreadable objects, a taken address with `bindAddressHardFail`
   */
  async run(signal: AbortSignal): Promise<void> {
    const { host, clock, log } = this.#options;
    try {
      await this.#listen();
      const check = () => void this.#preconditions.check();
      check();
      const cancels = [every(clock, PRECONDITIONS_MS, check), clock.after(FIRST_LOOK_MS, check)];
      if (host.watchdogMs !== undefined)
        cancels.push(every(clock, host.watchdogMs, () => host.notify("WATCHDOG=1")));
      signal.addEventListener("abort", () => {
        for (const cancel of cancels) cancel();
        host.notify("STOPPING=1");
        log.info("stopping; the rules stay");
      });
      this.#reporting.start(signal);
      await this.#programming.run(signal);
    } finally {
      await this.#serving;
      await this.#serviceHealth.close();
      await Promise.all(this.#listeners.map((listener) => listener.close()));
    }
  }

  /** For `nodeplane status`. */
  status(): AgentStatus {
    const { settings, source, host } = this.#options;
    const { health, config, node, isConnected } = this.#programming;
    return {
      version: VERSION,
      nodeName: settings.nodeName,
      startedAt: new Date(this.#startedAtMs).toISOString(),
      ...(host.networkNamespace === undefined ? {} : { networkNamespace: host.networkNamespace }),
      ready: health.isReady,
      healthy: health.isHealthy,
      feed: {
        source: source.description,
        connected: isConnected,
        synced: source.feed.synced,
        ageSeconds: source.feed.ageSeconds(),
        problems: source.problems(),
        counters: source.counters(),
      },
      programmed: this.#programming.status(),
      node: {
        zone: config.zone ?? "",
        addresses: config.primaryAddresses,
        podCIDRs: (node?.podCIDRs ?? []).map((cidr) => `${cidr.address}/${cidr.prefixBits}`),
      },
      ...(settings.countConnections ? { serviceConnections: this.#serviceConnections() } : {}),
      preconditions: this.#preconditions.status,
      workloads: this.#reporting.workloads?.status() ?? [],
      refusedManifests: this.#reporting.workloads?.problems ?? [],
    };
  }

  #ready(status: ReconcilerStatus): void {
    const { host, log } = this.#options;
    const { services, revision = "" } = status;
    host.notify("READY=1", `STATUS=Programmed ${services} services at revision ${revision}`);
    log.info({ revision, services }, "rules are in the kernel");
    this.#reporting.changed();
    // Loopback is opened once the rule that guards it is there.
    void this.#preconditions.check();
  }

  #readiness(): { readonly isReady: boolean; readonly message: string } {
    const failed = this.#programming.health.checks().find((check) => !check.ok);
    return { isReady: this.#programming.health.isReady, message: failed?.detail ?? "" };
  }

  /** With ranges in nodePortAddresses the health check ports open on the node's addresses inside them, else on all. */
  #healthAddresses(): readonly IpAddress[] | undefined {
    if (this.#options.settings.nodePortAddresses === "primary") return undefined;
    const scopes = (["ip", "ip6"] as const).map((family) => nodePortScope(this.#programming.config, family));
    return scopes.some(({ kind }) => kind === "all-local")
      ? undefined
      : scopes.flatMap((scope) => (scope.kind === "addresses" ? scope.addresses : []));
  }

  #serve(wanted: readonly ServiceHealth[]): void {
    this.#healthWanted = wanted;
    this.#serving = this.#serving.then(() => this.#serviceHealth.set(wanted));
  }

  #packetCounters(): ReadonlyMap<string, number> {
    const { host, log } = this.#options;
    try {
      return host.accounting?.packets() ?? new Map();
    } catch (error) {
      log.debug({ error: (error as Error).message }, "cannot read packet counters");
      return new Map();
    }
  }

  #serviceConnections(): readonly ServiceConnections[] {
    try {
      return this.#programming.serviceConnections();
    } catch (error) {
      this.#options.log.warn({ error: (error as Error).message }, "cannot read connection counters");
      return [];
    }
  }

  #snapshot(): MetricsSnapshot {
    const { source } = this.#options;
    return {
      reconciler: this.#programming.status(),
      affinityNotRemembered: () => this.#programming.affinityNotRemembered(),
      serviceConnections: () => this.#serviceConnections(),
      packetCounters: () => this.#packetCounters(),
      feedAgeSeconds: source.feed.ageSeconds(),
      feedConnected: this.#programming.isConnected,
      feedSynced: source.feed.synced,
      feedProblems: source.problems().length,
      missingPreconditions: this.#preconditions.missing.length,
      workloads: this.#reporting.workloads?.counts() ?? { ready: 0, notReady: 0, refused: 0 },
      stream: source.counters(),
    };
  }

  async #listen(): Promise<void> {
    const { settings, clock, log, configuration } = this.#options;
    const health = (url: URL): HttpReply =>
      healthReply(url, {
        health: this.#programming.health,
        nowMs: clock.now(),
        missing: this.#preconditions.missing,
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
}
