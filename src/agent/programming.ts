/**
 * Layer agent. The line from the feed to the kernel: reconciler, health, and the node's configuration that both follow.
 * Says when rules went live, which objects are refused, and when this node's own object changed.
 */
import type { FeedListener, Programmed } from "../feed/feed.ts";
import { type IpFamily, ipFamily } from "../model/ip.ts";
import type { Node, ObjectProblem } from "../model/objects.ts";
import { hasLocalhostNodePorts } from "../plan/iptables/node-rules.ts";
import { type NodeConfig, nodePortAddresses } from "../plan/node-config.ts";
import { packIp } from "../plan/packed.ts";
import type { UnitShape } from "../plan/unit.ts";
import type { AgentFeed } from "./agent-feed.ts";
import type { Clock } from "./clock.ts";
import type { AgentSettings } from "./config/agent-settings.ts";
import type { FlowFrontend } from "./conntrack/flow-index.ts";
import { FlowReconciler } from "./conntrack/flow-reconciler.ts";
import { FeedTap } from "./feed-tap.ts";
import { AgentHealth } from "./health/agent-health.ts";
import type { Host } from "./host/host.ts";
import { nodeConfig } from "./host/node-config.ts";
import type { Logger } from "./log.ts";
import type { AgentMetrics } from "./metrics/agent-metrics.ts";
import type { KernelReconciler } from "./reconcile/kernel-reconciler.ts";
import { openReconciler } from "./reconcile/open-reconciler.ts";
import { removeOtherModes } from "./reconcile/other-modes.ts";
import type { ServiceConnections } from "./reconcile/service-connections.ts";
import type { ReconcilerStatus } from "./reconcile/status.ts";

export interface ProgrammingOptions {
  readonly settings: AgentSettings;
  readonly host: Host;
  readonly source: AgentFeed;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: () => AgentMetrics;
  readonly observers: readonly FeedListener[];
  /** The first complete state is in the kernel. Once. */
  readonly onReady: (status: ReconcilerStatus) => void;
  /** Addresses, zone or object of this node changed. */
  readonly onNodeChange: () => void;
}

/** Longest wait for unwritten changes when the agent stops. */
const STOP_WAIT_MS = 2000;

/** A kernel that was told before to take out-of-window packets counts like one that is told by configuration. */
function withSysctls(settings: AgentSettings, host: Host): AgentSettings {
  const value = host.sysctl.read("net/netfilter/nf_conntrack_tcp_be_liberal") ?? "0";
  if (settings.mode !== "iptables" || value === "0") return settings;
  return { ...settings, conntrack: { ...settings.conntrack, tcpBeLiberal: true } };
}

export class Programming {
  readonly #options: ProgrammingOptions;
  /** As configured, but for what the machine says itself. */
  readonly #settings: AgentSettings;
  readonly #startedAtMs: number;
  readonly #reconciler: KernelReconciler;
  readonly #flows: FlowReconciler;
  readonly #tap: FeedTap;
  readonly health: AgentHealth;
  #config: NodeConfig;
  #node: Node | undefined;
  #isConnected: boolean;
  #isAnnounced = false;
  #fullSyncs = -1;
  #syncs = 0;
  #problems = new Set<string>();

  constructor(options: ProgrammingOptions) {
    const { settings, host, clock, log } = options;
    this.#options = options;
    this.#startedAtMs = clock.now();
    // Files tell only of a loss; a stream tells when it stands.
    this.#isConnected = options.source.reporter === undefined;
    this.#settings = withSysctls(settings, host);
    this.#config = nodeConfig(this.#settings, host.addresses(), undefined);
    const flowView = {
      targets: (shape: UnitShape) => this.#reconciler.flowTargets(shape),
      destinations: (frontend: FlowFrontend) => this.#reconciler.flowDestinations?.(frontend),
      serviceRanges: (family: IpFamily) => this.#reconciler.serviceRanges(family),
      nodeAddresses: (family: IpFamily) =>
        new Set(this.#config.nodeAddresses.filter((a) => ipFamily(a) === family).map(packIp)),
      nodePortAddresses: (family: IpFamily) => {
        const withLoopback = settings.mode === "iptables" && hasLocalhostNodePorts(this.#config, family);
        return new Set(nodePortAddresses(this.#config, family, withLoopback).map(packIp));
      },
    };
    this.#flows = new FlowReconciler({
      driver: host.conntrack,
      view: flowView,
      clock: { monotonicMs: () => clock.monotonicMs(), after: (ms, callback) => clock.after(ms, callback) },
      log: (level, message, fields) => log[level](fields, message),
      resetTcp: settings.resetVanishedTcp,
      onLook: (look) => options.metrics().conntrackLook(look),
    });
    this.#reconciler = openReconciler({
      settings,
      host,
      node: this.#config,
      log: (level, message, fields) => log[level](fields, message),
      onProgrammed: (programmed) => this.#programmed(programmed),
      onProblems: (problems) => this.#setProblems(problems),
      flows: this.#flows,
    });
    const state = () => this.#reconciler.status();
    this.health = new AgentHealth({ clock, timeoutMs: 2 * settings.syncPeriodMs, state });
    this.#tap = new FeedTap({
      nodeName: settings.nodeName,
      target: this.#reconciler,
      observers: options.observers,
      onNode: (node) => this.#setNode(node),
      onCommit: (_batch, changes) => options.metrics().queued(changes, clock.now()),
      onConnection: (connected, reason) => this.#connection(connected, reason),
    });
  }

  get config(): NodeConfig {
    return this.#config;
  }
  /** This node's object as the feed has it. */
  get node(): Node | undefined {
    return this.#node;
  }
  get isConnected(): boolean {
    return this.#isConnected;
  }
  status(): ReconcilerStatus {
    return this.#reconciler.status();
  }

  /** See {@link KernelReconciler}. Asks the kernel. */
  affinityNotRemembered(): ReadonlyMap<IpFamily, number> {
    return this.#reconciler.affinityNotRemembered?.() ?? new Map<IpFamily, number>();
  }

  /** See {@link KernelReconciler}. Asks the kernel now and then. */
  serviceConnections(): readonly ServiceConnections[] {
    return this.#reconciler.serviceConnections?.() ?? [];
  }

  /** Feeds the kernel until `signal` aborts, then lets what was received get there. */
  async run(signal: AbortSignal): Promise<void> {
    const { host, source, clock } = this.#options;
    host.watchAddresses(() => this.#replan(), signal);
    try {
      await source.feed.run(this.#tap, signal);
      await Promise.race([
        this.#reconciler.idle(),
        new Promise<void>((resolve) => void clock.after(STOP_WAIT_MS, resolve)),
      ]);
    } finally {
      this.#reconciler.stop();
      this.#flows.stop();
    }
  }

  #setNode(node: Node | undefined): void {
    this.#node = node;
    this.health.setNode(node);
    this.#replan();
  }

  #replan(): void {
    const { host, log, onNodeChange } = this.#options;
    const config = nodeConfig(this.#settings, host.addresses(), this.#node);
    if (JSON.stringify(config) === JSON.stringify(this.#config)) return;
    this.#config = config;
    log.info(
      { addresses: config.primaryAddresses, zone: config.zone ?? "" },
      "the node's configuration changed",
    );
    this.#reconciler.setNode(config);
    onNodeChange();
  }

  #connection(isConnected: boolean, reason: string): void {
    this.#isConnected = isConnected;
    this.#options.log[isConnected ? "info" : "warn"](
      { reason },
      isConnected ? "feed connected" : "feed disconnected",
    );
  }

  #programmed(programmed: Programmed): void {
    const { clock, source, metrics, onReady } = this.#options;
    const status = this.#reconciler.status();
    const nowMs = clock.now();
    const fullSyncs = status.families.reduce((sum, family) => sum + family.counters.fullSyncs, 0);
    if (status.syncs.count !== this.#syncs) {
      metrics().synced(status.syncs.lastSeconds, fullSyncs !== this.#fullSyncs, nowMs);
    }
    this.#syncs = status.syncs.count;
    this.#fullSyncs = fullSyncs;
    for (const changedAtMs of this.#tap.changedUpTo(programmed.revision)) {
      if (changedAtMs >= this.#startedAtMs)
        metrics().programmingLatency(Math.max(0, nowMs - changedAtMs) / 1000);
    }
    source.feed.acknowledge(programmed);
    if (this.#isAnnounced || !status.programmed) return;
    this.#isAnnounced = true;
    onReady(status);
    void removeOtherModes(this.#options);
  }

  /** The feed's acknowledgement carries them to the control plane, which makes Events of them. */
  #setProblems(problems: readonly ObjectProblem[]): void {
    const known = this.#problems;
    this.#problems = new Set(problems.map((problem) => JSON.stringify(problem)));
    for (const problem of problems) {
      if (known.has(JSON.stringify(problem))) continue;
      const { object, reason, field, message } = problem;
      this.#options.log.warn({ object, reason, field }, message);
    }
  }
}
