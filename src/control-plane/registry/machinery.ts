/** Layer control-plane. What the object operations work with, and what a caller asks of them. */
import type { Store } from "../store/store.ts";
import type { ApiObject } from "./json.ts";
import type { ClusterSettings, Kind, KindContext } from "./kind.ts";
import type { LeasePool } from "./lease-pool.ts";
import type { Registry } from "./registry.ts";

export interface Machinery {
  readonly store: Store;
  readonly registry: Registry;
  readonly settings: ClusterSettings;
  readonly leases: LeasePool;
  readonly nowMs: () => number;
  readonly newUid: () => string;
  /** Random characters of a generated name. */
  readonly newSuffix: () => string;
}

/** Where an object is. */
export interface Target {
  readonly kind: Kind;
  /** "" for cluster-scoped kinds. */
  readonly namespace: string;
  readonly name: string;
}

export interface Written {
  readonly object: ApiObject;
  readonly created: boolean;
  /** Texts for Warning headers. */
  readonly warnings: readonly string[];
}

export const contextOf = (machinery: Machinery, dryRun: boolean): KindContext => {
  return { settings: machinery.settings, nowMs: machinery.nowMs(), dryRun };
};

/** Attempts of one write whose comparisons fail because others write the same keys. */
export const MAX_ATTEMPTS = 20;
