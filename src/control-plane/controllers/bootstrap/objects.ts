/**
 * Layer control-plane. The objects that make a cluster usable: the ServiceCIDR `kubernetes`, the Service
 * `default/kubernetes` with its endpoints, and the DNS Service `kube-system/kube-dns`. Pure.
 */
import { type IpAddress, ipFamily, parseIp } from "../../../model/ip.ts";
import { configuredFamilies, configuredRanges } from "../../allocators/cluster-ips.ts";
import { addressAt } from "../../allocators/service-range.ts";
import { checkOrdinaryIp } from "../../kinds/common/field-checks.ts";
import type { ApiObject } from "../../registry/json.ts";
import type { ClusterSettings } from "../../registry/kind.ts";
import { MANAGED_BY_LABEL, SERVICE_NAME_LABEL } from "../endpoint-slices/metadata.ts";

/** By convention the tenth address of each range is the resolvers'. */
const DNS_OFFSET = 9;
const HTTPS_PORT = 443;
/** Nobody mirrors the Endpoints object: its slice is made beside it. */
export const SKIP_MIRROR_LABEL = "endpointslice.kubernetes.io/skip-mirror";
const SLICE_MANAGER = "nodeplane-control-plane";

export function serviceCidrObject(settings: ClusterSettings): ApiObject {
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "ServiceCIDR",
    metadata: { name: "kubernetes" },
    spec: { cidrs: configuredRanges(settings.serviceCidrs).map((range) => range.text) },
  };
}

/** The first address of the default range, port 443, to the port of this API server. */
export function kubernetesService(settings: ClusterSettings): ApiObject {
  const [range] = configuredRanges(settings.serviceCidrs);
  const clusterIP = range === undefined ? "" : addressAt(range, 0);
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      namespace: "default",
      name: "kubernetes",
      labels: { component: "apiserver", provider: "kubernetes" },
    },
    spec: {
      type: "ClusterIP",
      ipFamilyPolicy: "SingleStack",
      clusterIP,
      clusterIPs: [clusterIP],
      ports: [{ name: "https", protocol: "TCP", port: HTTPS_PORT, targetPort: settings.apiPort }],
    },
  };
}

/** API addresses of the default family that may be endpoints; none when the server listens on loopback only. */
export function apiEndpointAddresses(settings: ClusterSettings): readonly IpAddress[] {
  const [family = "IPv4"] = configuredFamilies(settings.serviceCidrs);
  return settings.apiAddresses
    .map(parseIp)
    .filter((ip) => ip !== undefined)
    .filter((ip) => (ipFamily(ip) === "ip") === (family === "IPv4") && checkOrdinaryIp("", ip).length === 0);
}

export function kubernetesEndpoints(settings: ClusterSettings): ApiObject {
  return {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: { namespace: "default", name: "kubernetes", labels: { [SKIP_MIRROR_LABEL]: "true" } },
    subsets: [
      {
        addresses: apiEndpointAddresses(settings).map((ip) => ({ ip })),
        ports: [{ name: "https", port: settings.apiPort, protocol: "TCP" }],
      },
    ],
  };
}

export function kubernetesSlice(settings: ClusterSettings): ApiObject {
  const addresses = apiEndpointAddresses(settings);
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      namespace: "default",
      name: "kubernetes",
      labels: { [SERVICE_NAME_LABEL]: "kubernetes", [MANAGED_BY_LABEL]: SLICE_MANAGER },
    },
    addressType: addresses[0]?.includes(":") === true ? "IPv6" : "IPv4",
    endpoints: addresses.map((ip) => ({
      addresses: [ip],
      conditions: { ready: true, serving: true, terminating: false },
    })),
    ports: [{ name: "https", port: settings.apiPort, protocol: "TCP" }],
  };
}

/** Its endpoints are ordinary Pods with the label `k8s-app: kube-dns`. In dual stack it has an address of each family. */
export function dnsService(settings: ClusterSettings): ApiObject {
  const families = configuredFamilies(settings.serviceCidrs);
  const ranges = configuredRanges(settings.serviceCidrs);
  const clusterIPs = families.flatMap((family) => {
    const range = ranges.find(({ cidr }) => (ipFamily(cidr.address) === "ip") === (family === "IPv4"));
    return range === undefined || range.size <= DNS_OFFSET ? [] : [addressAt(range, DNS_OFFSET)];
  });
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      namespace: "kube-system",
      name: "kube-dns",
      labels: {
        "k8s-app": "kube-dns",
        "kubernetes.io/cluster-service": "true",
        "kubernetes.io/name": "CoreDNS",
      },
    },
    spec: {
      type: "ClusterIP",
      selector: { "k8s-app": "kube-dns" },
      ipFamilyPolicy: families.length > 1 ? "PreferDualStack" : "SingleStack",
      ...(clusterIPs[0] === undefined ? {} : { clusterIP: clusterIPs[0], clusterIPs }),
      ports: [
        { name: "dns", protocol: "UDP", port: 53, targetPort: 53 },
        { name: "dns-tcp", protocol: "TCP", port: 53, targetPort: 53 },
        { name: "metrics", protocol: "TCP", port: 9153, targetPort: 9153 },
      ],
    },
  };
}
