/** Layer dns. Reverse names: cluster addresses and endpoints to their names in the primary zone. */
import { parseReverseName } from "../../../codec/dns/address.ts";
import { TYPE } from "../../../codec/dns/constants.ts";
import type { IpAddress } from "../../../model/ip.ts";
import type { ServiceEntry } from "../../cluster/service-entry.ts";
import { record } from "../../query.ts";
import type { ClusterView } from "./cluster-view.ts";
import { type Asked, type Finding, MISSING, NODATA } from "./finding.ts";

export function findReverseName(view: ClusterView, asked: Asked): Finding {
  if (asked.name === asked.zone) return NODATA;
  const parsed = parseReverseName(asked.name);
  if (parsed === undefined) return MISSING;
  if (parsed.kind === "prefix") {
    const isShown = (entry: ServiceEntry): boolean => view.shows(entry);
    const isEndpointShown = (entry: ServiceEntry): boolean => view.shows(entry) && view.hasEndpoints(entry);
    const exists =
      view.state.clusterAddresses.hasPrefix(parsed.hex, parsed.family, isShown) ||
      view.state.endpointAddresses.hasPrefix(parsed.hex, parsed.family, isEndpointShown);
    return exists ? NODATA : MISSING;
  }
  const targets = reverseTargets(view, parsed.address);
  if (targets.length === 0) return MISSING;
  if (asked.type !== TYPE.PTR) return NODATA;
  const ttl = view.options.ttlSeconds;
  return {
    kind: "exists",
    answers: targets.map((name) => record(asked.owner, TYPE.PTR, ttl, { kind: "name", name })),
  };
}

/** The service of a cluster address; else every endpoint that has the address, each name once. */
function reverseTargets(view: ClusterView, address: IpAddress): readonly string[] {
  const suffix = `svc.${view.options.primaryZone}`;
  const services = view.state.clusterAddresses.owners(address).filter((entry) => view.shows(entry));
  if (services.length > 0) return services.map((entry) => `${entry.name}.${entry.namespace}.${suffix}`);
  const names = new Set<string>();
  for (const entry of view.state.endpointAddresses.owners(address)) {
    if (!view.shows(entry)) continue;
    for (const slice of view.slices(entry)) {
      for (const endpoint of slice.endpoints) {
        if (endpoint.address !== address) continue;
        names.add(`${view.endpointName(endpoint)}.${entry.name}.${entry.namespace}.${suffix}`);
      }
    }
  }
  return [...names].sort();
}
