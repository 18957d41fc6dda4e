/**
 * Layer control-plane. The node stream without its transport: one catalog fed by the source, one session a stream, and
 * the table of who has received and programmed what. The newer stream of one node and role ends the older.
 */

import { isObjectKind } from "../../codec/stream/kinds.ts";
import type { Hello, NodeMessage, NodeRole } from "../../codec/stream/node-message.ts";
import type { ObjectKind, ObjectProblem } from "../../model/objects.ts";
import { Catalog, type KindFilter } from "./catalog.ts";
import { ChangeTimes } from "./change-times.ts";
import { MessagePlan } from "./message-plan.ts";
import {
  NodeSession,
  type NodeStreamStatus,
  PROGRESS_LAG,
  type SessionOutput,
  type SessionSource,
} from "./node-session.ts";
import type { ObjectSource, ReportProblems } from "./object-source.ts";

export interface HubEvents {
  /** A node refused objects that it had not refused before. */
  readonly refused?: (node: string, role: NodeRole, problems: readonly ObjectProblem[]) => void;
  /** An object cannot be given to nodes; an empty list: it can again. */
  readonly problems?: ReportProblems;
  /** The source failed; it is tried again. */
  readonly failed?: (error: unknown) => void;
}

export interface HubOptions {
  readonly source: ObjectSource;
  readonly events?: HubEvents;
  readonly now?: () => number;
}

/** Plans of the newest revision that several nodes share. */
const MAX_PLANS = 64;
const RETRY_MS = 1000;

/** Counters since the start, and two present values. */
export interface HubCounters {
  readonly connected: number;
  readonly replaced: number;
  readonly resumed: number;
  readonly snapshots: number;
  readonly messages: number;
  readonly bytes: number;
  /** How often the source had to be loaded anew. */
  readonly lost: number;
  readonly objects: number;
  readonly leftOut: number;
}

/** Ends a stream from this side. Replaced: the node has another one now. Stopping: the next control plane wants it back. */
type EndStream = (why: "replaced" | "stopping", reason: string) => void;

interface Stream {
  readonly session: NodeSession;
  readonly end: EndStream;
}

export class StreamHub implements SessionSource {
  readonly #source: ObjectSource;
  readonly #events: HubEvents;
  readonly #now: () => number;
  readonly #catalog: Catalog;
  readonly #streams = new Map<string, Stream>();
  readonly #plans = new Map<string, MessagePlan>();
  readonly #filters = new Map<string, KindFilter>();
  readonly #changes = new ChangeTimes();
  #onProgrammed: ((role: NodeRole, seconds: number) => void) | undefined;
  #stopWatch: (() => void) | undefined;
  #progressAt = 0;
  #isClosed = false;
  #isLoading = false;
  #retry: NodeJS.Timeout | undefined;
  readonly #counts = { connected: 0, replaced: 0, resumed: 0, snapshots: 0, messages: 0, bytes: 0, lost: 0 };

  constructor(options: HubOptions) {
    this.#source = options.source;
    this.#events = options.events ?? {};
    this.#now = options.now ?? Date.now;
    this.#catalog = new Catalog((key, problems) => this.#events.problems?.(key, problems));
  }

  get epoch(): string {
    return this.#source.epoch;
  }

  get revision(): number {
    return this.#catalog.revision;
  }

  /** Loads the catalog and follows the source until {@link close}. @throws what the source throws at the first load */
  async start(): Promise<void> {
    await this.#load();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#stopWatch?.();
    for (const stream of [...this.#streams.values()]) stream.end("stopping", "the control plane stops");
    this.#streams.clear();
  }

  /** Starts a session. `end` is called when a newer stream takes its place, and at {@link close}. */
  connect(
    hello: Hello,
    role: NodeRole,
    output: SessionOutput,
    end: EndStream,
  ): { readonly session: NodeSession; readonly unknownSets: readonly string[] } {
    const known = hello.sets.filter(isObjectKind);
    const kinds = this.#filter(known);
    const key = `${hello.node}/${role}`;
    const older = this.#streams.get(key);
    const session = new NodeSession({ hello, role, kinds, source: this, output, nowMs: this.#now() });
    this.#streams.set(key, { session, end });
    this.#counts.connected++;
    if (session.isResumed) this.#counts.resumed++;
    if (older !== undefined) {
      this.#counts.replaced++;
      this.#keep(older.session);
      older.end("replaced", "a newer stream of this node and role has taken its place");
    }
    return { session, unknownSets: hello.sets.filter((set) => !isObjectKind(set)) };
  }

  /** Forgets a session, unless a newer one has taken its place already. */
  disconnect(session: NodeSession): void {
    const key = `${session.node}/${session.role}`;
    if (this.#streams.get(key)?.session !== session) return;
    this.#streams.delete(key);
    this.#keep(session);
  }

  /** `tell` hears of changes that a node made live, with the seconds since the oldest was made; not of its first ones. */
  onProgrammed(tell: (role: NodeRole, seconds: number) => void): void {
    this.#onProgrammed = tell;
  }

  /** Credits and acknowledgements of a node. */
  take(session: NodeSession, message: NodeMessage): void {
    const before = session.programmedRevision;
    const refused = session.take(message);
    if (refused.length > 0) this.#events.refused?.(session.node, session.role, refused);
    const changedAtMs = this.#changes.oldestIn(before, session.programmedRevision);
    if (before > 0 && changedAtMs !== undefined)
      this.#onProgrammed?.(session.role, Math.max(0, this.#now() - changedAtMs) / 1000);
  }

  /** Every stream that is connected, by node and role. */
  statuses(): readonly NodeStreamStatus[] {
    return [...this.#streams.values()].map(({ session }) => session.status);
  }

  /** How many streams have a revision live. */
  programmedStreams(revision: number): number {
    let count = 0;
    for (const { session } of this.#streams.values()) if (session.programmedRevision >= revision) count++;
    return count;
  }

  /** Since the start; messages, bytes and snapshots include those of streams that are connected. */
  counters(): HubCounters {
    const sum = { ...this.#counts };
    for (const status of this.statuses()) {
      sum.snapshots += status.snapshotsSent;
      sum.messages += status.messagesSent;
      sum.bytes += status.bytesSent;
    }
    return { ...sum, objects: this.#catalog.objects, leftOut: this.#catalog.leftOut };
  }

  plan(since: number | undefined, kinds: KindFilter, isSameEpoch: boolean): MessagePlan {
    const key = `${since ?? `snapshot/${isSameEpoch}`}/${[...kinds].join()}`;
    const known = this.#plans.get(key);
    if (known !== undefined) return known;
    const plan = this.#makePlan(since, kinds, isSameEpoch);
    if (this.#plans.size >= MAX_PLANS) this.#plans.clear();
    this.#plans.set(key, plan);
    return plan;
  }

  #makePlan(since: number | undefined, kinds: KindFilter, isSameEpoch: boolean): MessagePlan {
    const range = since === undefined ? undefined : this.#catalog.difference(since, kinds);
    if (since !== undefined && range !== undefined) return MessagePlan.difference(range, since);
    return MessagePlan.snapshot(this.#catalog.snapshot(kinds), {
      epoch: this.epoch,
      // Of the same epoch, what the server holds is what happened: nothing is removed by accident.
      isAuthoritative: isSameEpoch || this.#source.isAuthoritative,
      leftOut: this.#catalog.leftOut,
    });
  }

  /** One filter object for equal sets, so that plans are shared. */
  #filter(kinds: readonly ObjectKind[]): KindFilter {
    const sorted = [...new Set(kinds)].sort();
    const key = sorted.join();
    const filter = this.#filters.get(key) ?? new Set(sorted);
    this.#filters.set(key, filter);
    return filter;
  }

  #keep(session: NodeSession): void {
    const status = session.status;
    this.#counts.snapshots += status.snapshotsSent;
    this.#counts.messages += status.messagesSent;
    this.#counts.bytes += status.bytesSent;
  }

  async #load(): Promise<void> {
    this.#stopWatch?.();
    this.#isLoading = true;
    const state = await this.#source.load();
    this.#isLoading = false;
    if (this.#isClosed) return;
    this.#catalog.load(state);
    this.#plans.clear();
    this.#stopWatch = this.#source.watch(state.revision, {
      changes: (group) => {
        const isChanged = this.#catalog.apply(group);
        this.#plans.clear();
        if (!isChanged) {
          this.#progress(group.revision);
          return;
        }
        this.#changes.note(group.revision, group.changedAtMs);
        this.#pumpAll();
      },
      lost: () => {
        this.#counts.lost++;
        this.#reload();
      },
    });
    this.#pumpAll();
  }

  /** Changes that nodes do not see move them on now and then: one that stays behind the store's log could not resume. */
  #progress(revision: number): void {
    if (revision - this.#progressAt < PROGRESS_LAG) return;
    this.#progressAt = revision;
    this.#pumpAll();
  }

  #reload(): void {
    if (this.#isClosed || this.#isLoading) return;
    this.#load().catch((error: unknown) => {
      this.#isLoading = false;
      this.#events.failed?.(error);
      this.#retry = setTimeout(() => this.#reload(), RETRY_MS);
    });
  }

  #pumpAll(): void {
    for (const { session } of this.#streams.values()) session.pump();
  }
}
