/** Layer control-plane. What a controller is and what it is given. Controllers run under one Lease. */
import type { ObjectClient } from "../registry/client.ts";
import type { ClusterSettings, Kind } from "../registry/kind.ts";
import type { Store } from "../store/store.ts";
import type { EventRecorder } from "./events/recorder.ts";
import type { Informers } from "./framework/informers.ts";

export interface ControllerLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}

export interface ControllerClock {
  /** Milliseconds since the epoch. */
  nowMs(): number;
  /** Milliseconds on a clock that never jumps: for how long something has been so. */
  monotonicMs(): number;
  /** Resolves after `ms`, or at once when `signal` aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** What the process that runs controllers hands in. */
export interface ControllerDeps {
  readonly client: ObjectClient;
  /** For allocator repair only. */
  readonly store: Store;
  readonly kinds: readonly Kind[];
  readonly settings: ClusterSettings;
  readonly clock: ControllerClock;
  readonly log: ControllerLog;
  /** Who holds the Lease. The same after a restart, so that this process need not wait for its own old lease. */
  readonly identity: string;
  /** Seconds without a sign of life after which a node is NotReady. Default 40. */
  readonly nodeGracePeriodSeconds?: number;
}

export interface ControllerContext extends ControllerDeps {
  /** Shared caches; they live as long as this process holds the Lease. */
  readonly informers: Informers;
  readonly events: EventRecorder;
}

export interface Controller {
  readonly name: string;
  /** Works until `signal` aborts, then resolves. A rejection is logged and the controller is started again. */
  run(context: ControllerContext, signal: AbortSignal): Promise<void>;
}
