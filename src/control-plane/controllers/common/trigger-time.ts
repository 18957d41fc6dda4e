/**
 * Layer control-plane. When the change happened that an endpoint object now shows: what network programming latency
 * is measured from (endpoints.kubernetes.io/last-change-trigger-time). The oldest of the Pods' Ready transitions and
 * the Service's creation that were not seen at the last sync.
 */
import type { ApiObject } from "../../registry/json.ts";
import { podFacts } from "./pod-facts.ts";

export const TRIGGER_TIME_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time";

interface Seen {
  readonly serviceMs: number;
  readonly pods: ReadonlyMap<string, number>;
}

export class TriggerTimes {
  readonly #seen = new Map<string, Seen>();

  /** @returns RFC 3339 text, or `undefined` when nothing new is known; remembers what it saw */
  next(key: string, service: ApiObject, pods: readonly ApiObject[]): string | undefined {
    const before = this.#seen.get(key);
    const serviceMs = Date.parse(service.metadata.creationTimestamp ?? "") || 0;
    const times = new Map<string, number>();
    let oldest = serviceMs > (before?.serviceMs ?? 0) ? serviceMs : undefined;
    for (const pod of pods) {
      const { name, readyChangedMs } = podFacts(pod);
      times.set(name, readyChangedMs);
      if (readyChangedMs <= (before?.pods.get(name) ?? 0)) continue;
      oldest = oldest === undefined ? readyChangedMs : Math.min(oldest, readyChangedMs);
    }
    this.#seen.set(key, { serviceMs, pods: times });
    return oldest === undefined ? undefined : new Date(oldest).toISOString();
  }

  forget(key: string): void {
    this.#seen.delete(key);
  }
}
