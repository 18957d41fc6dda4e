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

  /**
   * What is new since the last kept look at this Service.
   * @returns `text` in RFC 3339, `undefined` when nothing is; `keep` is called when it has been written, so that a
   *   failed write is tried again with the same time
   */
  next(
    key: string,
    service: ApiObject,
    pods: readonly ApiObject[],
  ): { readonly text: string | undefined; readonly keep: () => void } {
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
    return {
      text: oldest === undefined ? undefined : new Date(oldest).toISOString(),
      keep: () => this.#seen.set(key, { serviceMs, pods: times }),
    };
  }

  forget(key: string): void {
    this.#seen.delete(key);
  }
}
