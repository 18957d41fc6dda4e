/**
 * Layer control-plane. Puts the endpoints of one group into slices with few writes rather than perfectly: endpoints
 * stay in the slice where they are; new ones go to slices that are written anyway, then into the fullest slice with
 * room, then into new slices (endpointslice/reconciler.go reconcileByPortMapping). Pure.
 */
import type { IpAddress } from "../../../model/ip.ts";
import { type Json, sameJson } from "../../registry/json.ts";
import type { SliceEndpoint } from "./desired.ts";

/** Endpoints that one slice may hold. */
export const MAX_ENDPOINTS_PER_SLICE = 100;

/** A slice as it is; `endpoints` as stored. */
export interface ExistingSlice {
  readonly name: string;
  readonly endpoints: readonly Json[];
}

export interface PackedSlices {
  /** Endpoints of slices that must be made. */
  readonly create: readonly (readonly SliceEndpoint[])[];
  /** New endpoints of slices, by name. */
  readonly update: ReadonlyMap<string, readonly SliceEndpoint[]>;
  /** Names of slices with nothing left in them. */
  readonly remove: readonly string[];
  /** Names of slices whose endpoints are right as they are. */
  readonly keep: readonly string[];
}

export function packSlices(
  desired: ReadonlyMap<IpAddress, SliceEndpoint>,
  existing: readonly ExistingSlice[],
  max: number = MAX_ENDPOINTS_PER_SLICE,
): PackedSlices {
  const left = new Map(desired);
  const kept = new Map<string, SliceEndpoint[]>();
  const changed = new Set<string>();
  for (const slice of existing.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const stay: SliceEndpoint[] = [];
    for (const endpoint of slice.endpoints) {
      const address = firstAddress(endpoint);
      const wanted = address === undefined ? undefined : left.get(address);
      if (wanted === undefined || stay.length >= max) {
        changed.add(slice.name);
        continue;
      }
      left.delete(address as IpAddress);
      stay.push(wanted);
      if (!sameJson(endpoint, wanted)) changed.add(slice.name);
    }
    kept.set(slice.name, stay);
  }
  const fresh = [...left].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, endpoint]) => endpoint);
  fillChanged(fresh, kept, changed, max);
  const create = placeRest(fresh, kept, changed, max);
  return result(kept, changed, create);
}

/** Fullest first, so that slices get full. */
function fillChanged(
  fresh: SliceEndpoint[],
  kept: Map<string, SliceEndpoint[]>,
  changed: ReadonlySet<string>,
  max: number,
): void {
  const targets = [...kept]
    .filter(([name]) => changed.has(name))
    .toSorted(([, a], [, b]) => b.length - a.length);
  for (const [, endpoints] of targets) {
    while (fresh.length > 0 && endpoints.length < max)
      endpoints.push(...fresh.splice(0, max - endpoints.length));
  }
}

function placeRest(
  fresh: SliceEndpoint[],
  kept: Map<string, SliceEndpoint[]>,
  changed: Set<string>,
  max: number,
): SliceEndpoint[][] {
  const create: SliceEndpoint[][] = [];
  while (fresh.length > 0) {
    const target = fresh.length < max ? fullestWithRoom(kept, changed, fresh.length, max) : undefined;
    if (target === undefined) create.push(fresh.splice(0, max));
    else {
      kept.get(target)?.push(...fresh.splice(0));
      changed.add(target);
    }
  }
  return create;
}

function fullestWithRoom(
  kept: ReadonlyMap<string, readonly SliceEndpoint[]>,
  changed: ReadonlySet<string>,
  count: number,
  max: number,
): string | undefined {
  let best: string | undefined;
  let bestLength = -1;
  for (const [name, endpoints] of kept) {
    if (changed.has(name) || endpoints.length + count > max || endpoints.length <= bestLength) continue;
    best = name;
    bestLength = endpoints.length;
  }
  return best;
}

function result(
  kept: ReadonlyMap<string, readonly SliceEndpoint[]>,
  changed: ReadonlySet<string>,
  create: readonly (readonly SliceEndpoint[])[],
): PackedSlices {
  const update = new Map<string, readonly SliceEndpoint[]>();
  const remove: string[] = [];
  const keep: string[] = [];
  for (const [name, endpoints] of kept) {
    if (endpoints.length === 0) remove.push(name);
    else if (changed.has(name)) update.set(name, endpoints);
    else keep.push(name);
  }
  return { create, update, remove, keep };
}

function firstAddress(endpoint: Json): IpAddress | undefined {
  if (typeof endpoint !== "object" || endpoint === null || Array.isArray(endpoint)) return undefined;
  const { addresses } = endpoint;
  const [first] = Array.isArray(addresses) ? addresses : [];
  return typeof first === "string" ? (first as IpAddress) : undefined;
}
