/**
 * Layer agent. Keeps the table of connections free of flows that lead to endpoints that are gone. Level based: a look
 * compares every UDP flow with what is programmed now, so nothing depends on having seen a change. One dump a protocol and
 * family serves any number of changes; looks come after the rules are live, off the path of changes, and at most two a
 * second. TCP is left alone unless it was asked for: connections end by themselves, and a reset would cut short a graceful end.
 */
import type { ConntrackDriver } from "../../drivers/conntrack/index.ts";
import type { IpFamily } from "../../model/ip.ts";
import { PROTOCOL_NUMBERS } from "../../plan/packed.ts";
import type { UnitChange } from "../../plan/unit.ts";
import type { FlowView } from "./flow-index.ts";
import { FlowIndex } from "./flow-index.ts";

/** Least time between the ends and beginnings of looks. */
const PAUSE_MS = 500;
const RETRY_MOST_MS = 60_000;

export interface FlowReconcilerOptions {
  readonly driver: ConntrackDriver;
  readonly view: FlowView;
  readonly clock: {
    monotonicMs(): number;
    after(ms: number, callback: () => void): () => void;
  };
  readonly log: (
    level: "debug" | "info" | "warn",
    message: string,
    fields: Readonly<Record<string, unknown>>,
  ) => void;
  /** Also end TCP connections whose endpoint is in no slice any more. */
  readonly resetTcp: boolean;
  readonly onLook?: (look: {
    readonly family: IpFamily;
    readonly seconds: number;
    readonly deleted: number;
  }) => void;
}

export class FlowReconciler {
  readonly #options: FlowReconcilerOptions;
  readonly #index = new FlowIndex();
  readonly #protocols: ReadonlySet<number>;
  /** `family protocol` that a look is owed to; those whose rules are not live yet wait in `#pending`. */
  readonly #pending = new Set<string>();
  readonly #due = new Set<string>();
  #running: Promise<void> | undefined;
  #cancel: (() => void) | undefined;
  #pauseMs = PAUSE_MS;
  #isStopped = false;

  constructor(options: FlowReconcilerOptions) {
    this.#options = options;
    const { TCP, UDP, SCTP } = PROTOCOL_NUMBERS;
    this.#protocols = new Set(options.resetTcp ? [UDP, SCTP, TCP] : [UDP, SCTP]);
  }

  /** Units that are being written; to be followed by {@link live}. */
  changed(changes: readonly UnitChange[]): void {
    const own = changes.filter(({ unit }) => unit === undefined || this.#protocols.has(unit.shape.protocol));
    if (own.length === 0) return;
    for (const touched of this.#index.apply(own)) this.#pending.add(touched);
  }

  /** Everything given to {@link changed} is in the kernel. */
  live(): void {
    for (const touched of this.#pending) this.#due.add(touched);
    this.#pending.clear();
    this.#start();
  }

  /** Resolves when no look is running. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  #start(): void {
    if (this.#due.size === 0 || this.#isStopped) return;
    if (this.#running !== undefined || this.#cancel !== undefined) return;
    this.#running = this.#look().then(() => {
      this.#running = undefined;
      if (this.#isStopped) return;
      this.#cancel = this.#options.clock.after(this.#pauseMs, () => {
        this.#cancel = undefined;
        this.#start();
      });
    });
  }

  async #look(): Promise<void> {
    const { driver, view, clock, log, onLook } = this.#options;
    const due = [...this.#due];
    this.#due.clear();
    const gone = this.#index.gone();
    const judge = this.#index.judge(view, gone);
    try {
      for (const family of ["ip", "ip6"] as const) {
        const protocols = due.flatMap((text) =>
          text.startsWith(`${family} `) ? [Number(text.split(" ")[1])] : [],
        );
        if (protocols.length === 0) continue;
        const startedMs = clock.monotonicMs();
        let deleted = 0;
        for (const protocol of protocols)
          deleted += await driver.delete(await driver.find(family, protocol, judge));
        const seconds = (clock.monotonicMs() - startedMs) / 1000;
        onLook?.({ family, seconds, deleted });
        if (deleted > 0) log("info", "deleted stale connection tracking entries", { family, deleted });
      }
      this.#index.settled(gone);
      this.#pauseMs = PAUSE_MS;
    } catch (error) {
      for (const text of due) this.#due.add(text);
      this.#pauseMs = Math.min(this.#pauseMs * 2, RETRY_MOST_MS);
      log("warn", "stale connection tracking entries cannot be deleted", {
        error: error instanceof Error ? error.message : String(error),
        retryMs: this.#pauseMs,
      });
    }
  }
}
