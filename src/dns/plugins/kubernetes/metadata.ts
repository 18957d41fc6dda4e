/** Layer dns. What the `kubernetes` plugin tells of a query under CoreDNS's labels: the parts of its name, and the pod that asks. */
import { longestZone } from "../../../codec/dns/name.ts";
import { parseIp } from "../../../model/ip.ts";
import type { ClusterState } from "../../cluster/cluster-state.ts";
import type { MetadataProvider } from "../../metadata.ts";
import type { DnsQuery } from "../../query.ts";
import type { KubernetesOptions } from "./options.ts";

const PREFIX = "kubernetes/";
const CLIENT_LABEL = "client-label/";

export function kubernetesMetadata(options: KubernetesOptions, cluster: ClusterState): MetadataProvider {
  return (query, label) => {
    if (!label.startsWith(PREFIX)) return undefined;
    const name = label.slice(PREFIX.length);
    return name.startsWith("client-") ? ofClient(query, name, cluster) : ofName(query, name, options);
  };
}

function ofClient(query: DnsQuery, name: string, cluster: ClusterState): string | undefined {
  const address = parseIp(query.client.address.split("%")[0] ?? "");
  const [pod] = (address === undefined ? undefined : cluster.podsByAddress.get(address)) ?? [];
  if (pod === undefined) return undefined;
  if (name === "client-namespace") return pod.namespace;
  if (name === "client-pod-name") return pod.name;
  return name.startsWith(CLIENT_LABEL) ? pod.labels[name.slice(CLIENT_LABEL.length)] : undefined;
}

/** `[endpoint | _port._protocol].service.namespace.kind.zone`. */
function ofName(query: DnsQuery, name: string, options: KubernetesOptions): string | undefined {
  const zone = longestZone(query.lowerName, options.zones);
  if (zone === undefined) return undefined;
  const end = zone === "." ? query.lowerName.length - 1 : query.lowerName.length - zone.length - 1;
  const labels = query.lowerName.slice(0, Math.max(0, end)).split(".");
  const [kind = "", namespace = "", service = "", ...left] = labels.toReversed();
  const isKnown = kind === "svc" || kind === "pod";
  if (!isKnown || left.length > 2) return name === "parse-error" ? "invalid query name" : undefined;
  const [second = "", first] = left;
  const parts: Readonly<Record<string, string>> = {
    kind,
    namespace,
    service,
    endpoint: first === undefined ? second : "",
    "port-name": first === undefined ? "" : first.replace(/^_/, ""),
    protocol: first === undefined ? "" : second.replace(/^_/, ""),
  };
  return Object.hasOwn(parts, name) ? parts[name] : undefined;
}
