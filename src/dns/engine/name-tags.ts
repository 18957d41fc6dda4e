/**
 * Layer dns. What a name's answer depends on, as tags: a change of the cluster voids the answers that carry its tags, and
 * two names that share a tag by chance only lose an answer too many.
 */
import { parseReverseName } from "../../codec/dns/address.ts";
import { longestZone } from "../../codec/dns/name.ts";
import type { FeedBatch } from "../../feed/feed.ts";
import type { ClusterState } from "../cluster/cluster-state.ts";
import { isReverseZone, type KubernetesOptions } from "../plugins/kubernetes/options.ts";

export interface Tag {
  readonly tag: number;
  readonly generation: number;
}

const TAG_MASK = 0xffff;

export class NameTags {
  readonly #generations = new Uint32Array(TAG_MASK + 1);
  readonly #set: (tag: number, generation: number) => void;

  constructor(set: (tag: number, generation: number) => void) {
    this.#set = set;
  }

  /** Voids what depends on the services that changed. Cost follows them and their endpoints. */
  onCommit(cluster: ClusterState, changed: ReadonlySet<string>, _batch: FeedBatch): void {
    const tags = new Set<number>();
    for (const key of changed) {
      tags.add(hash(`s:${key}`));
      // Reverse names of endpoints change with their service, even where the slices stay.
      const entry = cluster.services.get(key);
      for (const slice of entry?.slices ?? []) {
        for (const { address } of slice.endpoints) tags.add(hash(`a:${address}`));
      }
      for (const address of entry?.service?.clusterIPs ?? []) tags.add(hash(`a:${address}`));
    }
    for (const name of cluster.touchedNamespaces) tags.add(hash(`n:${name}`));
    for (const address of cluster.touchedAddresses) tags.add(hash(`a:${address}`));
    if (changed.size > 0 || cluster.touchedAddresses.size > 0) tags.add(hash("prefixes"));
    // Labels of a namespace decide which of its services have reverse names.
    if (cluster.touchedNamespaces.size > 0) tags.add(hash("namespaces"));
    for (const tag of tags) this.#bump(tag);
  }

  /**
   * Tags of a name of one `kubernetes` block; none for a name outside of its zones.
   * @returns `undefined` when the answer depends on more than tags can say
   */
  of(name: string, options: KubernetesOptions): readonly Tag[] | undefined {
    const zone = longestZone(name, options.zones);
    if (zone === undefined) return [];
    if (isReverseZone(zone)) return this.#reverse(name, zone);
    const end = zone === "." ? name.length - 1 : name.length - zone.length - 1;
    if (end <= 0) return [];
    const dot = name.lastIndexOf(".", end - 1);
    const rest = dot < 0 ? "" : name.slice(0, dot);
    switch (name.slice(dot + 1, end)) {
      case "svc":
        return this.#service(rest);
      case "pod":
        if (options.pods === "verified") return undefined;
        return [this.#tag(`n:${rest.slice(rest.lastIndexOf(".") + 1)}`)];
      case "dns":
        // The server's own addresses.
        return undefined;
      default:
        return [];
    }
  }

  #service(rest: string): readonly Tag[] {
    const namespaceDot = rest.lastIndexOf(".");
    const namespace = this.#tag(`n:${rest.slice(namespaceDot + 1)}`);
    if (namespaceDot < 0) return [namespace];
    const serviceDot = rest.lastIndexOf(".", namespaceDot - 1);
    return [this.#tag(`s:${rest.slice(serviceDot + 1)}`), namespace];
  }

  #reverse(name: string, zone: string): readonly Tag[] {
    if (name === zone) return [];
    const parsed = parseReverseName(name);
    if (parsed === undefined) return [];
    const own = parsed.kind === "prefix" ? "prefixes" : `a:${parsed.address}`;
    return [this.#tag(own), this.#tag("namespaces")];
  }

  #tag(text: string): Tag {
    const tag = hash(text);
    return { tag, generation: this.#generations[tag] ?? 0 };
  }

  #bump(tag: number): void {
    const next = ((this.#generations[tag] ?? 0) + 1) >>> 0;
    this.#generations[tag] = next;
    this.#set(tag, next);
  }
}

/** FNV-1a, folded to 16 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return ((value >>> 16) ^ value) & TAG_MASK;
}
