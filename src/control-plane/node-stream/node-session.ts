/**
 * Layer control-plane. One stream of one node and role: which message it gets next, and what it said. Knows no gRPC.
 * There is no queue: while a node has no credits nothing is kept for it but a number, the revision that it holds.
 */
import type { Hello, NodeMessage, NodeRole, ProgrammedMessage } from "../../codec/stream/node-message.ts";
import type { ObjectProblem } from "../../model/objects.ts";
import type { KindFilter } from "./catalog.ts";
import type { MessagePlan } from "./message-plan.ts";

/** What a session needs from the server. */
export interface SessionSource {
  readonly epoch: string;
  readonly revision: number;
  /**
   * The messages that bring a node from `since` to now; `undefined`: only a snapshot helps. Shared by nodes.
   * @param isSameEpoch what the node holds, if anything, was given to it by this store
   */
  plan(since: number | undefined, kinds: KindFilter, isSameEpoch: boolean): MessagePlan;
}

export interface SessionOutput {
  /** @returns false when the transport wants a pause, which {@link NodeSession.drained} ends */
  send(message: Buffer): boolean;
}

/** What is known about a node's stream. */
export interface NodeStreamStatus {
  readonly node: string;
  readonly role: NodeRole;
  readonly version: string;
  readonly connectedAtMs: number;
  /** Last revision sent completely. */
  readonly sentRevision: number;
  readonly receivedRevision: number;
  readonly programmedRevision: number;
  readonly refused: readonly ObjectProblem[];
  readonly credits: number;
  readonly messagesSent: number;
  readonly bytesSent: number;
  readonly snapshotsSent: number;
}

/** A node cannot make the server hold more messages than this for it. */
const MAX_CREDITS = 32;
/** A node that only gets changes of other sets is moved on when it is this far behind. */
export const PROGRESS_LAG = 1000;

export class NodeSession {
  readonly node: string;
  readonly role: NodeRole;
  readonly #hello: Hello;
  readonly #kinds: KindFilter;
  readonly #source: SessionSource;
  readonly #output: SessionOutput;
  readonly #connectedAtMs: number;
  readonly #isSameEpoch: boolean;
  /** `undefined`: the node holds nothing of this epoch. */
  #holds: number | undefined;
  #plan: MessagePlan | undefined;
  #next = 0;
  #credits: number;
  #isBlocked = false;
  #received = 0;
  #programmed: ProgrammedMessage = { revision: 0, refused: [] };
  #messages = 0;
  #bytes = 0;
  #snapshots = 0;

  constructor(options: {
    readonly hello: Hello;
    readonly role: NodeRole;
    readonly kinds: KindFilter;
    readonly source: SessionSource;
    readonly output: SessionOutput;
    readonly nowMs: number;
  }) {
    this.node = options.hello.node;
    this.role = options.role;
    this.#hello = options.hello;
    this.#kinds = options.kinds;
    this.#source = options.source;
    this.#output = options.output;
    this.#connectedAtMs = options.nowMs;
    this.#credits = Math.min(MAX_CREDITS, options.hello.credits);
    const { hello, source } = options;
    // A revision that the server has not reached yet is from a store that was rolled back without a new epoch.
    this.#isSameEpoch = hello.epoch === source.epoch && hello.revision <= source.revision;
    this.#holds = this.#isSameEpoch && hello.revision > 0 ? hello.revision : undefined;
  }

  get status(): NodeStreamStatus {
    return {
      node: this.node,
      role: this.role,
      version: this.#hello.version,
      connectedAtMs: this.#connectedAtMs,
      sentRevision: this.#holds ?? 0,
      receivedRevision: this.#received,
      programmedRevision: this.#programmed.revision,
      refused: this.#programmed.refused,
      credits: this.#credits,
      messagesSent: this.#messages,
      bytesSent: this.#bytes,
      snapshotsSent: this.#snapshots,
    };
  }

  get programmedRevision(): number {
    return this.#programmed.revision;
  }

  /** True when the node said that it held a revision of this epoch. */
  get isResumed(): boolean {
    return this.#holds !== undefined;
  }

  /** Sends what the node lacks, as far as its credits go. */
  pump(): void {
    while (this.#credits > 0 && !this.#isBlocked) {
      const message = this.#nextMessage();
      if (message === undefined) return;
      this.#credits--;
      this.#messages++;
      this.#bytes += message.length;
      this.#isBlocked = !this.#output.send(message);
    }
  }

  drained(): void {
    this.#isBlocked = false;
    this.pump();
  }

  /** Takes credits and acknowledgements. @returns objects that are refused now and were not before */
  take(message: NodeMessage): readonly ObjectProblem[] {
    if (message.received !== undefined) this.#received = Math.max(this.#received, message.received);
    let newlyRefused: readonly ObjectProblem[] = [];
    if (message.programmed !== undefined) {
      const before = new Set(this.#programmed.refused.map(identity));
      newlyRefused = message.programmed.refused.filter((problem) => !before.has(identity(problem)));
      this.#programmed = message.programmed;
    }
    if (message.credits !== undefined) {
      this.#credits = Math.min(MAX_CREDITS, this.#credits + message.credits);
      this.pump();
    }
    return newlyRefused;
  }

  #nextMessage(): Buffer | undefined {
    if (this.#plan === undefined) {
      this.#plan = this.#nextPlan();
      this.#next = 0;
    }
    const plan = this.#plan;
    if (plan === undefined) return undefined;
    const index = this.#next++;
    if (index === 0 && plan.isSnapshot) this.#snapshots++;
    if (!plan.isSnapshot) this.#holds = plan.revisionAfter(index);
    if (this.#next === plan.messages) {
      this.#holds = plan.revision;
      this.#plan = undefined;
    } else if (!plan.isSnapshot && plan.endsGroup(index) && this.#credits <= 1) {
      // Between two groups and out of credits: what comes next is planned anew, so that changes in between are folded in.
      this.#plan = undefined;
    }
    return plan.message(index);
  }

  #nextPlan(): MessagePlan | undefined {
    const { revision } = this.#source;
    if (this.#holds === undefined) return this.#source.plan(undefined, this.#kinds, this.#isSameEpoch);
    if (this.#holds >= revision) return undefined;
    const plan = this.#source.plan(this.#holds, this.#kinds, true);
    // Nothing in it for this node: not worth a message, unless it falls so far behind that it could not resume.
    if (plan.isEmpty && revision - this.#holds < PROGRESS_LAG) return undefined;
    return plan;
  }
}

function identity(problem: ObjectProblem): string {
  const { object, reason, field, message } = problem;
  return JSON.stringify([object.kind, object.namespace, object.name, reason, field, message]);
}
