/**
 * Layer control-plane. Which zone each ready endpoint of a Service should serve so that zones get endpoints in proportion to
 * their processors (`service.kubernetes.io/topology-mode: Auto`). Pure; the same endpoints give the same hints, whatever was
 * before: Kubernetes keeps hints of slices that need no other write. Source: Kubernetes' topology cache (KEP-2433).
 */
import type { ZoneShares } from "./zone-shares.ts";

/** An endpoint may have to serve a fifth more than its share. */
const OVERLOAD = 0.2;

export type ZoneHints =
  | { readonly kind: "given"; readonly zones: ReadonlyMap<string, string> }
  | { readonly kind: "none"; readonly reason: string };

export interface ReadyEndpoint {
  readonly address: string;
  readonly zone: string;
}

const none = (reason: string): ZoneHints => ({ kind: "none", reason });

/** @returns the zone to serve by address, or why there are no hints */
export function zoneHints(endpoints: readonly ReadyEndpoint[], known: ZoneShares): ZoneHints {
  if (known.kind === "unknown") return none(known.reason);
  const { shares } = known;
  const size = `(${endpoints.length} endpoints, ${shares.size} zones)`;
  if (shares.size > endpoints.length) return none(`insufficient number of endpoints ${size}`);
  const wanted = new Map<string, number>();
  let least = 0;
  for (const [zone, share] of shares) {
    const desired = share * endpoints.length;
    const minimum = Math.ceil(desired / (1 + OVERLOAD));
    least += minimum;
    wanted.set(zone, Math.max(desired, minimum));
  }
  if (least > endpoints.length)
    return none(`minimum allocation per zone exceeds the overload threshold ${size}`);
  if (endpoints.some(({ zone }) => zone === ""))
    return none("one or more endpoints do not have a zone specified");
  return { kind: "given", zones: share(endpoints, wanted) };
}

/** Every endpoint serves its own zone, but those that a zone has too many of and another needs. */
function share(
  endpoints: readonly ReadyEndpoint[],
  wanted: ReadonlyMap<string, number>,
): ReadonlyMap<string, string> {
  const sorted = endpoints.toSorted((a, b) => (a.address < b.address ? -1 : 1));
  const zones = new Map(sorted.map(({ address, zone }) => [address, zone]));
  const moves = movesBetween(sorted, wanted);
  for (const { address, zone } of sorted) {
    const [to, ...rest] = moves.get(zone) ?? [];
    if (to === undefined) continue;
    zones.set(address, to);
    moves.set(zone, rest);
  }
  return zones;
}

/** For each zone that gives, the zones that its endpoints are to serve. */
function movesBetween(
  endpoints: readonly ReadyEndpoint[],
  wanted: ReadonlyMap<string, number>,
): Map<string, string[]> {
  const spare = new Map<string, number>();
  const lack = new Map<string, number>();
  for (const [zone, desired] of wanted) {
    const difference = endpoints.filter((endpoint) => endpoint.zone === zone).length - desired;
    if (difference > 0) spare.set(zone, difference);
    else if (difference < 0) lack.set(zone, -difference);
  }
  const moves = new Map<string, string[]>();
  for (;;) {
    const [from, give] = most(spare);
    const [to, take] = most(lack);
    if (Math.min(give, take) < 0.5 || Math.max(give, take) < 1) return moves;
    moves.set(from, [...(moves.get(from) ?? []), to]);
    spare.set(from, give - 1);
    lack.set(to, take - 1);
  }
}

/** The zone with the greatest number; the first by name of equal ones. */
function most(zones: ReadonlyMap<string, number>): readonly [string, number] {
  let best: readonly [string, number] = ["", 0];
  for (const entry of zones) if (entry[1] > best[1]) best = entry;
  return best;
}
