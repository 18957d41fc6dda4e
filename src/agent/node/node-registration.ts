/**
 * Layer agent. Reports this node to the control plane: the Node object, its workloads' mirror Pods, events, and the lease's
 * heartbeat. Reports are whole and coalesced; one is sent when something changed, and now and then to renew the
 * condition's heartbeat time, as the kubelet does every five minutes.
 */
import type { NodeReporter } from "../../feed/feed.ts";
import type { IpAddress } from "../../model/ip.ts";
import type { Clock } from "../clock.ts";
import { every } from "../clock.ts";
import type { AgentSettings } from "../config/agent-settings.ts";
import type { ApiObject } from "../workloads/mirror-pod.ts";
import type { MachineFacts } from "./machine-facts.ts";
import { type NodeState, nodeObject } from "./node-object.ts";

/** Changes within this time go into one report. */
const SETTLE_MS = 20;
const RENEW_MS = 300_000;
/**
 * A restarted agent has its rules in the kernel within this time. Until then it does not say that it is not ready, or each
 * restart would take the node's endpoints out of their Services for a moment.
 */
const PATIENCE_MS = 5000;
/** Events kept for the next report; more are dropped, oldest first. */
const MAX_EVENTS = 200;

export interface NodeRegistrationOptions {
  readonly settings: AgentSettings;
  readonly facts: MachineFacts;
  readonly reporter: NodeReporter;
  readonly clock: Clock;
  readonly addresses: () => readonly IpAddress[];
  readonly readiness: () => { readonly isReady: boolean; readonly message: string };
  /** All mirror Pods; `undefined` while they are not known: then nothing is reported, or Pods would vanish. */
  readonly pods: () => readonly ApiObject[] | undefined;
}

export class NodeRegistration {
  readonly #options: NodeRegistrationOptions;
  readonly #cancels: (() => void)[] = [];
  #events: ApiObject[] = [];
  #isWaiting = false;
  #isRunning = false;
  #startedMs = 0;
  #state: NodeState | undefined;

  constructor(options: NodeRegistrationOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock, settings, reporter } = this.#options;
    this.#isRunning = true;
    this.#startedMs = clock.monotonicMs();
    this.#cancels.push(clock.after(PATIENCE_MS, () => this.changed()));
    reporter.heartbeat();
    this.#cancels.push(every(clock, settings.heartbeatPeriodMs, () => reporter.heartbeat()));
    this.#cancels.push(every(clock, RENEW_MS, () => this.changed()));
    this.changed();
  }

  stop(): void {
    this.#isRunning = false;
    for (const cancel of this.#cancels) cancel();
  }

  /** Something of the node or its workloads changed: a report follows in a moment. */
  changed(): void {
    if (this.#isWaiting || !this.#isRunning) return;
    this.#isWaiting = true;
    this.#options.clock.after(SETTLE_MS, () => {
      this.#isWaiting = false;
      this.#report();
    });
  }

  event(event: ApiObject): void {
    this.#events.push(event);
    if (this.#events.length > MAX_EVENTS) this.#events.shift();
    this.changed();
  }

  #report(): void {
    const { settings, facts, reporter, addresses, pods } = this.#options;
    const podList = pods();
    if (podList === undefined || !this.#isRunning || this.#isEarly()) return;
    const node = nodeObject({
      name: settings.nodeName,
      facts,
      addresses: addresses(),
      zone: settings.zone,
      labels: settings.nodeLabels,
      state: this.#nodeState(),
    });
    const events = this.#events;
    this.#events = [];
    reporter.report({ node, pods: podList, events });
  }

  #isEarly(): boolean {
    const { readiness, clock } = this.#options;
    return !readiness().isReady && clock.monotonicMs() - this.#startedMs < PATIENCE_MS;
  }

  #nodeState(): NodeState {
    const { isReady, message } = this.#options.readiness();
    const nowMs = this.#options.clock.now();
    const before = this.#state;
    const isSame = before?.isReady === isReady;
    // The time of the look changes the object: it is renewed only now and then.
    const isFresh = isSame && Math.abs(nowMs - before.checkedAtMs) < RENEW_MS;
    const sinceMs = isSame ? before.sinceMs : nowMs;
    this.#state = { isReady, message, sinceMs, checkedAtMs: isFresh ? before.checkedAtMs : nowMs };
    return this.#state;
  }
}
