/**
 * Layer agent. What this node tells others of itself: workloads with their probes, the Node object, events. Without a
 * reporter (standalone mode) workloads are still probed and shown in the status.
 */
import { join } from "node:path";
import type { NodeReporter } from "../feed/feed.ts";
import type { IpAddress } from "../model/ip.ts";
import type { ObjectKey } from "../model/objects.ts";
import type { Clock } from "./clock.ts";
import type { AgentSettings } from "./config/agent-settings.ts";
import type { Logger } from "./log.ts";
import type { AgentMetrics } from "./metrics/agent-metrics.ts";
import { eventObject } from "./node/event-object.ts";
import { type MachineFacts, readMachineFacts } from "./node/machine-facts.ts";
import { NodeRegistration } from "./node/node-registration.ts";
import { KnownWorkloads } from "./workloads/known-workloads.ts";
import { ManifestDirectory } from "./workloads/manifest-directory.ts";
import { type RunProbe, runProbe } from "./workloads/run-probe.ts";
import { alreadyRunning, systemctl, type WorkloadRuntime } from "./workloads/runtime.ts";
import type { WorkloadEvent } from "./workloads/workload.ts";
import { Workloads } from "./workloads/workloads.ts";

export interface ReportingOptions {
  readonly settings: AgentSettings;
  readonly reporter: NodeReporter | undefined;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: () => AgentMetrics;
  readonly addresses: () => readonly IpAddress[];
  readonly readiness: () => { readonly isReady: boolean; readonly message: string };
  /** For tests; the real ones by default. */
  readonly facts?: MachineFacts;
  readonly runtime?: WorkloadRuntime;
  readonly runProbe?: RunProbe;
}

export class Reporting {
  readonly #options: ReportingOptions;
  readonly #registration: NodeRegistration | undefined;
  readonly workloads: Workloads | undefined;
  #sequence = 0;

  constructor(options: ReportingOptions) {
    const { settings, reporter } = options;
    const facts = options.facts ?? readMachineFacts();
    this.#options = options;
    this.workloads = settings.manifestDir === "" ? undefined : this.#workloads(facts);
    if (reporter === undefined || !settings.registerNode) return;
    this.#registration = new NodeRegistration({
      settings,
      facts,
      reporter,
      clock: options.clock,
      addresses: options.addresses,
      readiness: options.readiness,
      pods: () => this.#pods(),
    });
  }

  start(signal: AbortSignal): void {
    this.workloads?.run(signal);
    this.#registration?.start();
    signal.addEventListener("abort", () => this.#registration?.stop());
  }

  /** Something of the node itself changed. */
  changed(): void {
    this.#registration?.changed();
  }

  /** Something happened to an object; goes to the control plane with the next report. */
  event(object: ObjectKey, uid: string, event: WorkloadEvent): void {
    const { settings, clock } = this.#options;
    const common = { nodeName: settings.nodeName, nowMs: clock.now(), sequence: this.#sequence++ };
    this.#registration?.event(eventObject({ object, uid, ...event, ...common }));
  }

  #pods() {
    if (this.workloads === undefined) return [];
    return this.workloads.isRead ? this.workloads.pods() : undefined;
  }

  #workloads(facts: MachineFacts): Workloads {
    const { settings, clock, log, addresses, metrics } = this.#options;
    const path = join(settings.stateDir, "workloads.json");
    return new Workloads({
      nodeName: settings.nodeName,
      directory: new ManifestDirectory(settings.manifestDir, clock),
      known: new KnownWorkloads({ path, bootId: facts.bootId, clock, log }),
      runtime: this.#options.runtime ?? alreadyRunning(systemctl),
      runProbe: this.#options.runProbe ?? runProbe,
      nodeAddresses: addresses,
      clock,
      log,
      onChange: () => this.changed(),
      onEvent: ({ manifest, hash }, event) => {
        const { namespace, name } = manifest;
        log[event.type === "Warning" ? "warn" : "info"](
          { workload: `${namespace}/${name}`, reason: event.reason },
          event.message,
        );
        this.event({ kind: "Pod", namespace, name }, hash, event);
      },
      onRemoved: ({ manifest: { namespace, name } }) => metrics().forgetWorkload(namespace, name),
      onProbe: ({ manifest: { namespace, name } }, { type, after }) => {
        metrics().probe({ type, result: after.lastSeen ?? "unknown", namespace, pod: name });
      },
    });
  }
}
