/**
 * Layer dns. The cluster's objects as names need them, kept up from a feed: the cost of a change is that of its object.
 * A snapshot that replaces older data takes effect object by object, what it did not name goes at its commit.
 * Whoever builds tables from it (the native engine) learns of changed services after each commit.
 */
import type { FeedBatch, FeedListener } from "../../feed/feed.ts";
import type { IpAddress } from "../../model/ip.ts";
import { type FeedObject, formatKey, keyOf, type ObjectKey, type Pod } from "../../model/objects.ts";
import { AddressIndex } from "./address-index.ts";
import { type Labels, ServiceEntry, trimService, trimSlice } from "./service-entry.ts";

export interface NamespaceEntry {
  readonly name: string;
  /** Absent while only services name the namespace: object files may leave Namespaces out. */
  labels: Labels | undefined;
  services: number;
}

export interface PodEntry {
  readonly namespace: string;
  readonly name: string;
  readonly addresses: readonly IpAddress[];
  readonly labels: Labels;
}

/** Told after each commit which entries may answer differently; names as `service.namespace`. */
export type CommitListener = (changed: ReadonlySet<string>, batch: FeedBatch) => void;

export class ClusterState implements FeedListener {
  /** By `service.namespace`, as names have them. */
  readonly services = new Map<string, ServiceEntry>();
  readonly namespaces = new Map<string, NamespaceEntry>();
  readonly clusterAddresses = new AddressIndex((address) => this.touchedAddresses.add(address));
  readonly endpointAddresses = new AddressIndex((address) => this.touchedAddresses.add(address));
  /** Live pods by address; filled only while somebody wants them. */
  readonly podsByAddress = new Map<IpAddress, PodEntry[]>();
  readonly #pods = new Map<string, PodEntry>();
  /** Entry that a slice belongs to, by `namespace/slice`. */
  readonly #sliceOwners = new Map<string, ServiceEntry>();
  readonly #listeners = new Set<CommitListener>();
  readonly #now: () => number;
  #seen: Set<string> | undefined;
  #known = new Set<string>();
  #changed = new Set<string>();
  #isSynced = false;
  /** Unix time in seconds of the last change: the serial of the zones. */
  serial: number;
  revision = 0n;
  /** Since the last commit: namespaces that came, went or changed, and addresses with other owners. For the native engine. */
  readonly touchedNamespaces = new Set<string>();
  readonly touchedAddresses = new Set<IpAddress>();
  /** Told when the source is lost or found again. */
  onConnection: ((isConnected: boolean, reason: string) => void) | undefined;

  constructor(now: () => number) {
    this.#now = now;
    this.serial = Math.floor(now() / 1000);
  }

  /** True after the first complete state, live or from disk. Before it a missing name may yet come. */
  get synced(): boolean {
    return this.#isSynced;
  }

  /** @returns a function that ends it */
  onCommit(listener: CommitListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  begin(batch: FeedBatch): void {
    if (batch.snapshot) this.#seen = new Set();
  }

  upsert(object: FeedObject): void {
    const key = formatKey(keyOf(object));
    this.#seen?.add(key);
    switch (object.kind) {
      case "Service": {
        const entry = this.#entry(object.meta.namespace, object.meta.name);
        this.#setService(entry, () => {
          entry.service = trimService(object);
        });
        break;
      }
      case "EndpointSlice": {
        this.#removeSlice(object.meta.namespace, object.meta.name);
        if (object.serviceName === "") break;
        const slice = trimSlice(object);
        const entry = this.#entry(object.meta.namespace, object.serviceName);
        entry.setSlice(slice);
        this.#sliceOwners.set(`${object.meta.namespace}/${slice.name}`, entry);
        for (const endpoint of slice.endpoints) this.endpointAddresses.add(endpoint.address, entry);
        this.#touch(entry);
        break;
      }
      case "Namespace":
        this.#namespace(object.meta.name).labels = object.meta.labels;
        break;
      case "Pod":
        this.#setPod(object);
        break;
      case "Node":
      case "ServiceCIDR":
        return;
    }
    this.#known.add(key);
  }

  remove(key: ObjectKey): void {
    this.#known.delete(formatKey(key));
    switch (key.kind) {
      case "Service": {
        const entry = this.services.get(`${key.name}.${key.namespace}`);
        if (entry === undefined) return;
        this.#setService(entry, () => {
          entry.service = undefined;
        });
        this.#dropIfEmpty(entry);
        return;
      }
      case "EndpointSlice":
        this.#removeSlice(key.namespace, key.name);
        return;
      case "Namespace": {
        const entry = this.namespaces.get(key.name);
        if (entry === undefined) return;
        this.touchedNamespaces.add(key.name);
        entry.labels = undefined;
        if (entry.services === 0) this.namespaces.delete(key.name);
        return;
      }
      case "Pod":
        this.#removePod(`${key.namespace}/${key.name}`);
        return;
      case "Node":
      case "ServiceCIDR":
        return;
    }
  }

  commit(batch: FeedBatch): void {
    const seen = this.#seen;
    if (seen !== undefined) {
      this.#seen = undefined;
      for (const key of this.#known) if (!seen.has(key)) this.remove(splitKey(key));
      this.#known = seen;
    }
    this.#isSynced = true;
    this.revision = batch.revision;
    this.serial = Math.max(this.serial, Math.floor(this.#now() / 1000));
    const changed = this.#changed;
    this.#changed = new Set();
    for (const listener of this.#listeners) listener(changed, batch);
    this.touchedNamespaces.clear();
    this.touchedAddresses.clear();
  }

  connection(connected: boolean, reason: string): void {
    this.onConnection?.(connected, reason);
  }

  #setService(entry: ServiceEntry, change: () => void): void {
    const before = entry.service;
    change();
    const after = entry.service;
    for (const address of before?.clusterIPs ?? []) this.clusterAddresses.remove(address, entry);
    for (const address of after?.clusterIPs ?? []) this.clusterAddresses.add(address, entry);
    if (before === undefined && after !== undefined) this.#namespace(entry.namespace).services++;
    if (before !== undefined && after === undefined) this.#forgetService(entry.namespace);
    this.#touch(entry);
  }

  #forgetService(namespace: string): void {
    const entry = this.namespaces.get(namespace);
    if (entry === undefined) return;
    entry.services--;
    this.touchedNamespaces.add(namespace);
    if (entry.services === 0 && entry.labels === undefined) this.namespaces.delete(namespace);
  }

  #removeSlice(namespace: string, name: string): void {
    const owner = this.#sliceOwners.get(`${namespace}/${name}`);
    if (owner === undefined) return;
    this.#sliceOwners.delete(`${namespace}/${name}`);
    const gone = owner.removeSlice(name);
    for (const endpoint of gone?.endpoints ?? []) this.endpointAddresses.remove(endpoint.address, owner);
    this.#touch(owner);
    this.#dropIfEmpty(owner);
  }

  #setPod(pod: Pod): void {
    const key = `${pod.meta.namespace}/${pod.meta.name}`;
    this.#removePod(key);
    if (pod.phase !== "Running" && pod.phase !== "Pending") return;
    if (pod.podIPs.length === 0) return;
    const { namespace, name, labels } = pod.meta;
    const entry = { namespace, name, addresses: pod.podIPs, labels };
    this.#pods.set(key, entry);
    for (const address of pod.podIPs) {
      this.podsByAddress.set(address, [...(this.podsByAddress.get(address) ?? []), entry]);
    }
  }

  #removePod(key: string): void {
    const entry = this.#pods.get(key);
    if (entry === undefined) return;
    this.#pods.delete(key);
    for (const address of entry.addresses) {
      const rest = (this.podsByAddress.get(address) ?? []).filter((pod) => pod !== entry);
      if (rest.length === 0) this.podsByAddress.delete(address);
      else this.podsByAddress.set(address, rest);
    }
  }

  #entry(namespace: string, name: string): ServiceEntry {
    const key = `${name}.${namespace}`;
    let entry = this.services.get(key);
    if (entry === undefined) {
      entry = new ServiceEntry(namespace, name);
      this.services.set(key, entry);
    }
    return entry;
  }

  #dropIfEmpty(entry: ServiceEntry): void {
    if (entry.isEmpty) this.services.delete(`${entry.name}.${entry.namespace}`);
  }

  #touch(entry: ServiceEntry): void {
    this.#changed.add(`${entry.name}.${entry.namespace}`);
  }

  #namespace(name: string): NamespaceEntry {
    this.touchedNamespaces.add(name);
    let entry = this.namespaces.get(name);
    if (entry === undefined) {
      entry = { name, labels: undefined, services: 0 };
      this.namespaces.set(name, entry);
    }
    return entry;
  }
}

function splitKey(text: string): ObjectKey {
  const [kind = "", namespace = "", name = ""] = text.split("/");
  return { kind: kind as ObjectKey["kind"], namespace, name };
}
