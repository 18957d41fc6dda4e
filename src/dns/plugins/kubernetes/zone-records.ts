/** Layer dns. Everything of a zone, for a transfer: services sorted by name, those of hidden namespaces left out. */
import { TYPE } from "../../../codec/dns/constants.ts";
import type { ResourceRecord } from "../../../codec/dns/message.ts";
import type { IpAddress } from "../../../model/ip.ts";
import { record } from "../../query.ts";
import { type NameServer, nsRecords, soaRecord } from "./apex.ts";
import type { ClusterView } from "./cluster-view.ts";
import type { ShownService } from "./service-names.ts";

/** SOA, NS with addresses, services, SOA. Records that two objects share stand there once. */
export function zoneRecords(
  view: ClusterView,
  zone: string,
  servers: readonly NameServer[],
): readonly ResourceRecord[] {
  const soa = soaRecord(view, zone);
  const ns = nsRecords(zone, view.options.ttlSeconds, servers);
  const keys = [...view.state.services.keys()].sort();
  const services = keys.flatMap((key) => {
    const entry = view.service(key);
    return entry === undefined ? [] : serviceRecords(view, entry, zone);
  });
  return [soa, ...unique([...ns.answers, ...ns.additionals, ...services]), soa];
}

function unique(records: readonly ResourceRecord[]): readonly ResourceRecord[] {
  return [...new Map(records.map((entry) => [JSON.stringify(entry), entry])).values()];
}

function serviceRecords(view: ClusterView, entry: ShownService, zone: string): readonly ResourceRecord[] {
  const name = `${entry.name}.${entry.namespace}.svc.${zone}`;
  const ttl = view.options.ttlSeconds;
  switch (entry.service.kind) {
    case "external-name": {
      const target = entry.service.externalName;
      const absolute = target.endsWith(".") ? target : `${target}.`;
      return [record(name, TYPE.CNAME, ttl, { kind: "name", name: absolute })];
    }
    case "cluster-ip":
      return [
        ...entry.service.clusterIPs.map((address) => addressRecord(name, ttl, address)),
        ...entry.service.ports.flatMap((port) => [
          srv(name, ttl, { weight: 100, port: port.port, target: name }),
          ...(port.name === ""
            ? []
            : [
                srv(`_${port.name}._${port.protocol}.${name}`, ttl, {
                  weight: 100,
                  port: port.port,
                  target: name,
                }),
              ]),
        ]),
      ];
    case "headless":
      return headlessRecords(view, entry, name);
  }
}

function headlessRecords(view: ClusterView, entry: ShownService, name: string): readonly ResourceRecord[] {
  const ttl = view.options.ttlSeconds;
  const slices = view.slices(entry);
  const count = slices.reduce((sum, slice) => sum + slice.endpoints.length, 0);
  const weight = Math.max(1, Math.floor(100 / Math.max(1, count)));
  return slices.flatMap((slice) =>
    slice.endpoints.flatMap((endpoint) => {
      const own = `${view.endpointName(endpoint)}.${name}`;
      return [
        addressRecord(name, ttl, endpoint.address),
        addressRecord(own, ttl, endpoint.address),
        ...slice.ports
          .filter((port) => port.name !== "")
          .map((port) =>
            srv(`_${port.name}._${port.protocol}.${name}`, ttl, { weight, port: port.port, target: own }),
          ),
      ];
    }),
  );
}

function addressRecord(name: string, ttl: number, address: IpAddress): ResourceRecord {
  return record(name, address.includes(":") ? TYPE.AAAA : TYPE.A, ttl, { kind: "address", address });
}

function srv(
  name: string,
  ttl: number,
  data: { readonly weight: number; readonly port: number; readonly target: string },
): ResourceRecord {
  return record(name, TYPE.SRV, ttl, { kind: "srv", priority: 0, ...data });
}
