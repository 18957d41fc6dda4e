/**
 * Layer control-plane. Writes Events about objects. The same event again (object, type, reason, message, component)
 * raises the count of the one that is there instead of making another. Recording never fails the caller: what cannot
 * be written is logged and dropped.
 */
import { ApiError } from "../../registry/api-error.ts";
import type { ObjectClient } from "../../registry/client.ts";
import type { ApiObject } from "../../registry/json.ts";
import type { ControllerClock, ControllerLog } from "../controller.ts";

/** The object that an event is about. */
export interface InvolvedObject {
  readonly apiVersion: string;
  readonly kind: string;
  /** "" for cluster-wide objects: their events are kept in `default`. */
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string;
  readonly fieldPath?: string;
}

export interface EventInput {
  readonly about: InvolvedObject;
  readonly type: "Normal" | "Warning";
  /** CamelCase. */
  readonly reason: string;
  readonly message: string;
  readonly component: string;
  /** Node that reports, if one does. */
  readonly host?: string;
}

interface Known {
  readonly namespace: string;
  readonly name: string;
  count: number;
}

/** Events remembered for counting; the oldest are forgotten and would start a new Event. */
const MAX_KNOWN = 4_096;
/** Events waiting to be written; more than this are dropped. */
const MAX_PENDING = 1_000;
const MAX_MESSAGE = 1_024;
const EVENTS = "events";

export class EventRecorder {
  readonly #client: ObjectClient;
  readonly #clock: ControllerClock;
  readonly #log: ControllerLog;
  readonly #known = new Map<string, Known>();
  #tail: Promise<void> = Promise.resolve();
  #pending = 0;

  constructor(deps: { client: ObjectClient; clock: ControllerClock; log: ControllerLog }) {
    this.#client = deps.client;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  /** Returns at once; events are written one after the other in the background. */
  record(event: EventInput): void {
    if (this.#pending >= MAX_PENDING) return;
    this.#pending++;
    this.#tail = this.#tail.then(async () => {
      try {
        await this.#write(event);
      } catch (error) {
        this.#log.warn({ reason: event.reason, error: String(error) }, "event not written");
      }
      this.#pending--;
    });
  }

  /** Resolves when everything recorded so far is written or dropped. */
  async settled(): Promise<void> {
    await this.#tail;
  }

  async #write(event: EventInput): Promise<void> {
    const { about } = event;
    const identity = JSON.stringify([
      about,
      event.type,
      event.reason,
      event.message,
      event.component,
      event.host,
    ]);
    const known = this.#known.get(identity);
    const now = `${new Date(this.#clock.nowMs()).toISOString().slice(0, 19)}Z`;
    if (known !== undefined && (await this.#countUp(known, now))) return;
    const namespace = about.namespace === "" ? "default" : about.namespace;
    const created = await this.#client.create(
      EVENTS,
      toObject(event, { namespace, now, uniqueMs: this.#clock.nowMs() }),
    );
    this.#remember(identity, { namespace, name: created.metadata.name ?? "", count: 1 });
  }

  /** @returns false when the Event has gone meanwhile */
  async #countUp(known: Known, now: string): Promise<boolean> {
    try {
      const patch = { count: known.count + 1, lastTimestamp: now };
      await this.#client.mergePatch(EVENTS, known.namespace, known.name, patch);
      known.count++;
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.code === 404) return false;
      throw error;
    }
  }

  #remember(identity: string, known: Known): void {
    this.#known.delete(identity);
    this.#known.set(identity, known);
    if (this.#known.size > MAX_KNOWN) {
      const oldest = this.#known.keys().next().value;
      if (oldest !== undefined) this.#known.delete(oldest);
    }
  }
}

function toObject(
  event: EventInput,
  at: { readonly namespace: string; readonly now: string; readonly uniqueMs: number },
): ApiObject {
  const { about } = event;
  return {
    apiVersion: "v1",
    kind: "Event",
    // The suffix keeps names apart that are made in one millisecond.
    metadata: {
      namespace: at.namespace,
      generateName: `${about.name.slice(0, 200)}.${at.uniqueMs.toString(16)}`,
    },
    involvedObject: {
      apiVersion: about.apiVersion,
      kind: about.kind,
      name: about.name,
      ...(about.namespace === "" ? {} : { namespace: about.namespace }),
      ...(about.uid === undefined ? {} : { uid: about.uid }),
      ...(about.fieldPath === undefined ? {} : { fieldPath: about.fieldPath }),
    },
    type: event.type,
    reason: event.reason,
    message: event.message.slice(0, MAX_MESSAGE),
    source: { component: event.component, ...(event.host === undefined ? {} : { host: event.host }) },
    reportingComponent: event.component,
    reportingInstance: event.host ?? "",
    firstTimestamp: at.now,
    lastTimestamp: at.now,
    count: 1,
  };
}
