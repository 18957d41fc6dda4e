/**
 * Layer plan. Which endpoints a service port uses on this node: the one decision that all backends share.
 * Pure. Source: kube-proxy 1.33, pkg/proxy/topology.go (CategorizeEndpoints), KEP-1669 for terminating endpoints.
 */
import type { PackedDestination } from "./packed.ts";

/** What this node makes of an endpoint's topology hints. */
export interface HintMatch {
  readonly hasNodeHint: boolean;
  readonly namesThisNode: boolean;
  readonly hasZoneHint: boolean;
  readonly namesThisZone: boolean;
}

/** An endpoint of one port, seen from this node. */
export interface Candidate {
  readonly destination: PackedDestination;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly isLocal: boolean;
  /** Local, or on a node that its slice does not name. */
  readonly mayBeHere: boolean;
  /** 1–256: endpoints of weight 0 are drained, and no candidates. */
  readonly weight: number;
  readonly hints: HintMatch;
}

export interface Selection {
  readonly cluster: readonly Candidate[];
  readonly local: readonly Candidate[];
  readonly hasAny: boolean;
}

export const NO_HINTS: HintMatch = {
  hasNodeHint: false,
  namesThisNode: false,
  hasZoneHint: false,
  namesThisZone: false,
};

/** Reads a hint list (`zone,zone|node,node`) for this node. A node without zone matches no zone. */
export function matchHints(text: string, nodeName: string, zone: string): HintMatch {
  if (text === "") return NO_HINTS;
  const split = text.indexOf("|");
  const zones = text.slice(0, split).split(",");
  const nodes = text.slice(split + 1).split(",");
  return {
    hasNodeHint: nodes[0] !== "",
    namesThisNode: nodeName !== "" && nodes.includes(nodeName),
    hasZoneHint: zones[0] !== "",
    namesThisZone: zone !== "" && zones.includes(zone),
  };
}

function rank(c: Candidate): number {
  return (c.isLocal ? 8 : 0) + (c.ready ? 4 : 0) + (c.serving ? 2 : 0) + (c.terminating ? 0 : 1);
}

/**
 * One candidate a destination, sorted. An endpoint that stands in two slices at once counts once; local wins, then the
 * better condition (facts row 9).
 */
export function mergeDuplicates(candidates: readonly Candidate[]): readonly Candidate[] {
  let isSorted = true;
  for (let i = 1; i < candidates.length && isSorted; i++)
    isSorted = (candidates[i - 1]?.destination ?? "") < (candidates[i]?.destination ?? "");
  if (isSorted) return candidates;
  // The sort is stable, so of equals the first in the order of slices stays.
  const sorted = candidates.toSorted((a, b) =>
    a.destination < b.destination ? -1 : a.destination > b.destination ? 1 : 0,
  );
  const merged: Candidate[] = [];
  for (const candidate of sorted) {
    const top = merged.at(-1);
    if (top?.destination !== candidate.destination) merged.push(candidate);
    else if (rank(candidate) > rank(top)) merged[merged.length - 1] = candidate;
  }
  return merged;
}

const isFallback = (c: Candidate) => c.serving && c.terminating;

/** Ready endpoints that the hints leave to this node (facts row 26); all of them where the hints cannot be followed. */
function byTopology(ready: readonly Candidate[]): readonly Candidate[] {
  if (ready.every((c) => c.hints.hasNodeHint)) {
    const here = ready.filter((c) => c.hints.namesThisNode);
    if (here.length > 0) return here;
  }
  if (ready.every((c) => c.hints.hasZoneHint)) {
    const here = ready.filter((c) => c.hints.namesThisZone);
    if (here.length > 0) return here;
  }
  return ready;
}

function usable(candidates: readonly Candidate[], filter: typeof byTopology): readonly Candidate[] {
  const ready = candidates.filter((c) => c.ready);
  return ready.length > 0 ? filter(ready) : candidates.filter(isFallback);
}

/**
 * Chooses cluster set and local set. A set that is not needed stays empty.
 * @param candidates as {@link mergeDuplicates} returns them
 */
export function selectEndpoints(
  candidates: readonly Candidate[],
  needed: { readonly cluster: boolean; readonly local: boolean },
): Selection {
  const cluster = needed.cluster ? usable(candidates, byTopology) : [];
  if (!needed.local) return { cluster, local: [], hasAny: cluster.length > 0 };
  const local = usable(
    candidates.filter((c) => c.isLocal),
    (ready) => ready,
  );
  return { cluster, local, hasAny: candidates.some((c) => c.ready || isFallback(c)) };
}
