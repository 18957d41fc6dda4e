/** Layer dns. SOA and NS of a zone, and the names that the server gives itself. */
import { TYPE } from "../../../codec/dns/constants.ts";
import type { ResourceRecord } from "../../../codec/dns/message.ts";
import type { IpAddress } from "../../../model/ip.ts";
import { record } from "../../query.ts";
import type { ClusterView } from "./cluster-view.ts";

const REFRESH_SECONDS = 7200;
const RETRY_SECONDS = 1800;
const EXPIRE_SECONDS = 86_400;
const MAX_SOA_TTL_SECONDS = 300;

/** SOA of a zone with the client's spelling; its TTL is at most 300, its minimum is the TTL of records. */
export function soaRecord(view: ClusterView, zoneSpelling: string): ResourceRecord {
  const ttl = view.options.ttlSeconds;
  return record(zoneSpelling, TYPE.SOA, Math.min(ttl, MAX_SOA_TTL_SECONDS), {
    kind: "soa",
    primary: below("ns.dns", zoneSpelling),
    mailbox: below("hostmaster", zoneSpelling),
    serial: view.state.serial,
    refresh: REFRESH_SECONDS,
    retry: RETRY_SECONDS,
    expire: EXPIRE_SECONDS,
    minimum: ttl,
  });
}

function below(labels: string, zone: string): string {
  return zone === "." ? `${labels}.` : `${labels}.${zone}`;
}

export interface NameServer {
  readonly name: string;
  readonly address: IpAddress;
}

/**
 * The names of this server: services (headless: endpoints) that have one of its addresses behind them, else `ns.dns.ZONE`
 * with the addresses themselves.
 */
export function nameServers(
  view: ClusterView,
  zone: string,
  localAddresses: readonly IpAddress[],
): readonly NameServer[] {
  const found = new Map<string, NameServer>();
  for (const local of localAddresses) {
    for (const entry of view.state.endpointAddresses.owners(local)) {
      if (entry.service === undefined) continue;
      const serviceName = `${entry.name}.${entry.namespace}.svc.${zone}`;
      if (entry.service.kind === "headless") {
        const endpoint = view
          .slices(entry)
          .flatMap((slice) => slice.endpoints)
          .find((e) => e.address === local);
        if (endpoint === undefined) continue;
        const name = `${view.endpointName(endpoint)}.${serviceName}`;
        found.set(`${name} ${local}`, { name, address: local });
      } else {
        for (const address of entry.service.clusterIPs) {
          found.set(`${serviceName} ${address}`, { name: serviceName, address });
        }
      }
    }
  }
  if (found.size > 0) return [...found.values()];
  return localAddresses.map((address) => ({ name: below("ns.dns", zone), address }));
}

/** NS records, each name once, and the addresses of the names. */
export function nsRecords(
  zoneSpelling: string,
  ttl: number,
  servers: readonly NameServer[],
): { readonly answers: readonly ResourceRecord[]; readonly additionals: readonly ResourceRecord[] } {
  const names = new Set(servers.map((server) => server.name));
  return {
    answers: [...names].map((name) => record(zoneSpelling, TYPE.NS, ttl, { kind: "name", name })),
    additionals: servers.map(({ name, address }) =>
      record(name, address.includes(":") ? TYPE.AAAA : TYPE.A, ttl, { kind: "address", address }),
    ),
  };
}
