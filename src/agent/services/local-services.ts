/**
 * Layer agent. Which Services want their health answered on a port of this node, and how many ready endpoints each has
 * here (kube-proxy 1.33, pkg/proxy/healthcheck/service_health.go); drained ones get no connections and do not count. Keeps only what is local: a few
 * entries, whatever the cluster's size.
 */
import type { FeedBatch, FeedListener } from "../../feed/feed.ts";
import type { EndpointSlice, FeedObject, ObjectKey, Service } from "../../model/objects.ts";
import { isProxied, isProxiedSlice } from "../../plan/tracker/service-spec.ts";
import type { ServiceHealth } from "./service-health.ts";

interface LocalSlice {
  readonly service: string;
  readonly addressType: EndpointSlice["addressType"];
  readonly addresses: readonly string[];
}

export class LocalServices implements FeedListener {
  readonly #nodeName: string;
  readonly #onChange: (wanted: readonly ServiceHealth[]) => void;
  #services = new Map<string, ServiceHealth>();
  #slices = new Map<string, LocalSlice>();
  #isDirty = false;

  constructor(nodeName: string, onChange: (wanted: readonly ServiceHealth[]) => void) {
    this.#nodeName = nodeName;
    this.#onChange = onChange;
  }

  begin(batch: FeedBatch): void {
    if (!batch.snapshot) return;
    this.#isDirty ||= this.#services.size > 0;
    this.#services = new Map();
    this.#slices = new Map();
  }

  upsert(object: FeedObject): void {
    if (object.kind === "Service") this.#setService(`${object.meta.namespace}/${object.meta.name}`, object);
    else if (object.kind === "EndpointSlice")
      this.#setSlice(`${object.meta.namespace}/${object.meta.name}`, object);
  }

  remove(key: ObjectKey): void {
    const name = `${key.namespace}/${key.name}`;
    if (key.kind === "Service") this.#isDirty = this.#services.delete(name) || this.#isDirty;
    else if (key.kind === "EndpointSlice") this.#isDirty = this.#slices.delete(name) || this.#isDirty;
  }

  commit(): void {
    if (!this.#isDirty) return;
    this.#isDirty = false;
    this.#onChange(this.wanted());
  }

  /** What is to be answered now, sorted by namespace and name. */
  wanted(): readonly ServiceHealth[] {
    return [...this.#services]
      .map(([name, health]) => ({ ...health, localEndpoints: this.#count(name) }))
      .toSorted((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
  }

  /** Distinct addresses; a dual-stack pod has one of each family and counts once. */
  #count(service: string): number {
    const families = { IPv4: new Set<string>(), IPv6: new Set<string>() };
    for (const slice of this.#slices.values()) {
      if (slice.service !== service) continue;
      for (const address of slice.addresses) families[slice.addressType].add(address);
    }
    return Math.max(families.IPv4.size, families.IPv6.size);
  }

  #setService(name: string, service: Service): void {
    const { type, externalTrafficPolicy, healthCheckNodePort: port, meta } = service;
    const isAsked = type === "LoadBalancer" && externalTrafficPolicy === "Local" && port > 0;
    if (isAsked && isProxied(service)) {
      const { namespace, name: own, uid } = meta;
      this.#services.set(name, { namespace, name: own, uid, port, localEndpoints: 0 });
      this.#isDirty = true;
    } else if (this.#services.delete(name)) this.#isDirty = true;
  }

  #setSlice(name: string, slice: EndpointSlice): void {
    const isHere = ({ ready, nodeName, weight }: EndpointSlice["endpoints"][number]) =>
      ready && nodeName === this.#nodeName && weight !== 0;
    const addresses = (isProxiedSlice(slice) ? slice.endpoints : [])
      .filter(isHere)
      .map((endpoint) => endpoint.addresses[0])
      .filter((address) => address !== undefined);
    if (addresses.length === 0) {
      this.#isDirty = this.#slices.delete(name) || this.#isDirty;
      return;
    }
    const service = `${slice.meta.namespace}/${slice.serviceName}`;
    this.#slices.set(name, { service, addressType: slice.addressType, addresses });
    this.#isDirty ||= this.#services.has(service);
  }
}
