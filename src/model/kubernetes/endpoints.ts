/**
 * Layer model. Legacy Endpoints (v1) to EndpointSlices, one for each subset and address family, as the mirroring
 * controller of Kubernetes does. They are named `NAME.endpoints.SUBSET.FAMILY`, so that they do not hide real slices.
 */
import { type IpFamily, ipFamily } from "../ip.ts";
import type { Endpoint, EndpointPort, EndpointSlice, ObjectMeta } from "../objects.ts";
import { readIp } from "./addresses.ts";
import { readEndpointPorts, readTarget } from "./endpoint-slice.ts";
import { isItem, type Json, type Problems, readList, readText } from "./fields.ts";
import { readMeta, SERVICE_NAME_LABEL } from "./meta.ts";
import { readWeights, type Weights } from "./weights.ts";

const MAX_SUBSETS = 100;
const MAX_ADDRESSES = 10_000;
const FAMILIES: readonly (readonly [IpFamily, EndpointSlice["addressType"]])[] = [
  ["ip", "IPv4"],
  ["ip6", "IPv6"],
];

/** Parses an Endpoints object; problems are reported under an EndpointSlice key of the same name. */
export function parseEndpoints(json: Json, problems: Problems): readonly EndpointSlice[] {
  const meta = readMeta(json, problems);
  const weights = readWeights(meta.annotations, problems);
  const slices: EndpointSlice[] = [];
  for (const [index, subset] of readList(json["subsets"], "subsets", problems, MAX_SUBSETS).entries()) {
    const field = `subsets[${index}]`;
    if (!isItem(subset, field, problems)) continue;
    const ports = readEndpointPorts(subset["ports"], `${field}.ports`, problems);
    const endpoints = [
      ...readAddresses(subset, { field, list: "addresses", isReady: true, weights, meta }, problems),
      ...readAddresses(subset, { field, list: "notReadyAddresses", isReady: false, weights, meta }, problems),
    ];
    for (const [family, addressType] of FAMILIES) {
      const mine = endpoints.filter((one) => one.addresses.some((address) => ipFamily(address) === family));
      if (mine.length > 0) slices.push(toSlice(meta, { index, addressType, ports, endpoints: mine }));
    }
  }
  return slices;
}

interface SubsetPart {
  readonly index: number;
  readonly addressType: EndpointSlice["addressType"];
  readonly ports: readonly EndpointPort[];
  readonly endpoints: readonly Endpoint[];
}

function toSlice(meta: ObjectMeta, part: SubsetPart): EndpointSlice {
  const name = `${meta.name}.endpoints.${part.index}.${part.addressType.toLowerCase()}`;
  return {
    kind: "EndpointSlice",
    meta: { ...meta, name, labels: { ...meta.labels, [SERVICE_NAME_LABEL]: meta.name } },
    serviceName: meta.name,
    addressType: part.addressType,
    ports: part.ports,
    endpoints: part.endpoints,
  };
}

interface AddressList {
  readonly field: string;
  readonly list: "addresses" | "notReadyAddresses";
  readonly isReady: boolean;
  readonly weights: Weights;
  readonly meta: ObjectMeta;
}

function readAddresses(subset: Json, from: AddressList, problems: Problems): readonly Endpoint[] {
  const endpoints: Endpoint[] = [];
  const path = `${from.field}.${from.list}`;
  for (const [index, item] of readList(subset[from.list], path, problems, MAX_ADDRESSES).entries()) {
    const field = `${path}[${index}]`;
    if (!isItem(item, field, problems)) continue;
    const address = readIp(item["ip"], `${field}.ip`, problems);
    if (address === undefined) continue;
    const hostname = readText(item["hostname"], `${field}.hostname`, problems);
    const nodeName = readText(item["nodeName"], `${field}.nodeName`, problems);
    const weight = from.weights.get(address);
    endpoints.push({
      addresses: [address],
      ready: from.isReady,
      serving: from.isReady,
      terminating: false,
      ...(hostname === undefined ? {} : { hostname }),
      ...(nodeName === undefined ? {} : { nodeName }),
      ...(weight === undefined ? {} : { weight }),
      ...readTarget(item["targetRef"], from.meta.namespace),
    });
  }
  return endpoints;
}
