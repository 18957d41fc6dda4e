/**
 * Layer control-plane. Which Pods a Service selects, and which Services a Pod belongs to, from the shared caches.
 * Both ways go through an index of label pairs: the cost of a change follows the pairs involved, not the number of
 * Services or Pods.
 */
import { isExternalName, isSelectorless, serviceSpec } from "../../kinds/service/view.ts";
import type { ApiObject } from "../../registry/json.ts";
import { type Informer, keyOf } from "../framework/informer.ts";
import type { Informers } from "../framework/informers.ts";
import { podFacts, sameFacts } from "./pod-facts.ts";

const BY_PAIR = "label pair";
const BY_NODE = "node";

const pair = (namespace: string, key: string, value: string): string => `${namespace}\n${key}\n${value}`;

/** Pairs of a map of labels. */
function pairs(object: ApiObject, labels: Readonly<Record<string, string>>): string[] {
  const namespace = object.metadata.namespace ?? "";
  return Object.entries(labels).map(([key, value]) => pair(namespace, key, value));
}

/** A Service whose endpoints come from Pods. */
export function selectsPods(service: ApiObject): boolean {
  const spec = serviceSpec(service);
  return !isExternalName(spec) && !isSelectorless(spec);
}

/** One pair is enough to find a Service: the first of its selector by name. */
function selectorPair(service: ApiObject): readonly string[] {
  if (!selectsPods(service)) return [];
  return pairs(service, serviceSpec(service).selector ?? {})
    .toSorted()
    .slice(0, 1);
}

const matches = (
  selector: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>>,
): boolean => Object.entries(selector).every(([key, value]) => labels[key] === value);

export class ServicePods {
  readonly services: Informer;
  readonly pods: Informer;

  constructor(informers: Informers) {
    this.services = informers.get("services");
    this.pods = informers.get("pods");
    this.services.addIndex(BY_PAIR, selectorPair);
    this.pods.addIndex(BY_PAIR, (pod) => pairs(pod, pod.metadata.labels ?? {}));
    this.pods.addIndex(BY_NODE, (pod) => [podFacts(pod).nodeName]);
  }

  /** Pods that the Service selects, in order of their names. */
  podsOf(service: ApiObject): readonly ApiObject[] {
    const selector = serviceSpec(service).selector ?? {};
    const keys = pairs(service, selector);
    const rarest = keys.toSorted(
      (a, b) => this.pods.countByIndex(BY_PAIR, a) - this.pods.countByIndex(BY_PAIR, b),
    )[0];
    if (rarest === undefined) return [];
    return this.pods
      .byIndex(BY_PAIR, rarest)
      .filter((pod) => matches(selector, pod.metadata.labels ?? {}))
      .toSorted((a, b) => ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1));
  }

  /** Keys of the Services that select a Pod with these labels. */
  servicesOf(pod: ApiObject): readonly string[] {
    const labels = pod.metadata.labels ?? {};
    return pairs(pod, labels)
      .flatMap((value) => this.services.byIndex(BY_PAIR, value))
      .filter((service) => matches(serviceSpec(service).selector ?? {}, labels))
      .map(keyOf);
  }

  /** Keys of the Services with Pods on a node. */
  servicesOnNode(nodeName: string): readonly string[] {
    return [...new Set(this.pods.byIndex(BY_NODE, nodeName).flatMap((pod) => this.servicesOf(pod)))];
  }

  /** Calls `add` with the Services that a change of a Service or a Pod concerns. @returns a function that ends it */
  onChange(add: (serviceKey: string) => void): () => void {
    const ends = [
      this.services.onChange((now, old) => {
        const object = now ?? old;
        if (object !== undefined) add(keyOf(object));
      }),
      this.pods.onChange((now, old) => {
        if (now !== undefined && old !== undefined && sameFacts(podFacts(now), podFacts(old))) return;
        const concerned = new Set([
          ...(now === undefined ? [] : this.servicesOf(now)),
          ...(old === undefined ? [] : this.servicesOf(old)),
        ]);
        for (const key of concerned) add(key);
      }),
    ];
    return () => {
      for (const end of ends) end();
    };
  }

  async untilSynced(): Promise<void> {
    await Promise.all([this.services.untilSynced(), this.pods.untilSynced()]);
  }
}
