/**
 * Layer control-plane. Who owns whom, over all kinds that keep history: from the shared caches, indexed by the
 * owner's uid. Events and Leases are left out: they have no owners that matter and change all the time.
 */
import { asObject } from "../../kinds/common/json-access.ts";
import type { ApiObject, OwnerReference } from "../../registry/json.ts";
import { apiVersionOf, type Kind, resourceOf } from "../../registry/kind.ts";
import { type Informer, keyFor } from "../framework/informer.ts";
import type { Informers } from "../framework/informers.ts";

const BY_OWNER = "owner uid";

export interface Node {
  readonly resource: string;
  readonly object: ApiObject;
}

export const ownersOf = (object: ApiObject): readonly OwnerReference[] =>
  object.metadata.ownerReferences ?? [];

export class OwnerGraph {
  readonly informers: readonly Informer[];
  readonly #kinds: readonly Kind[];
  readonly #byResource: ReadonlyMap<string, Informer>;

  constructor(informers: Informers, kinds: readonly Kind[]) {
    this.#kinds = kinds.filter(({ ephemeral, storedAs }) => ephemeral !== true && storedAs === undefined);
    this.#byResource = new Map(
      this.#kinds.map((kind) => [resourceOf(kind), informers.get(resourceOf(kind))] as const),
    );
    this.informers = [...this.#byResource.values()];
    for (const informer of this.informers) {
      informer.addIndex(BY_OWNER, (object) => ownersOf(object).map(({ uid }) => uid));
    }
  }

  informer(resource: string): Informer | undefined {
    return this.#byResource.get(resource);
  }

  /** Objects that name this uid as an owner. */
  dependantsOf(uid: string): readonly Node[] {
    return this.informers.flatMap((informer) =>
      informer.byIndex(BY_OWNER, uid).map((object) => ({ resource: informer.resource, object })),
    );
  }

  /**
   * `present`: the cache has it. `absent`: it does not (ask the server before acting). `unknown`: no kind of that
   * name is served here, so nothing can be said.
   */
  ownerState(dependant: ApiObject, owner: OwnerReference): "present" | "absent" | "unknown" {
    const kind = this.kindOf(owner);
    if (kind === undefined) return "unknown";
    const object = this.#byResource.get(resourceOf(kind))?.get(ownerKey(kind, dependant, owner));
    return object?.metadata.uid === owner.uid ? "present" : "absent";
  }

  kindOf(owner: OwnerReference): Kind | undefined {
    return this.#kinds.find((kind) => kind.kind === owner.kind && apiVersionOf(kind) === owner.apiVersion);
  }

  async untilSynced(): Promise<void> {
    await Promise.all(this.informers.map((informer) => informer.untilSynced()));
  }
}

/** An owner is in the dependant's namespace, or cluster-wide. */
export function ownerNamespace(kind: Kind, dependant: ApiObject): string {
  return kind.namespaced ? (dependant.metadata.namespace ?? "") : "";
}

function ownerKey(kind: Kind, dependant: ApiObject, owner: OwnerReference): string {
  return keyFor(ownerNamespace(kind, dependant), owner.name);
}

/** True while a finalizer of garbage collection is on a deleted object. */
export function waitsFor(object: ApiObject, finalizer: "foregroundDeletion" | "orphan"): boolean {
  const { deletionTimestamp, finalizers = [] } = asObject(object.metadata) as ApiObject["metadata"];
  return deletionTimestamp !== undefined && finalizers.includes(finalizer);
}
