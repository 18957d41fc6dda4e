/**
 * Layer control-plane. From a Service's desired endpoints and the slices that exist to the writes that are needed.
 * Pure. A Service without endpoints has one empty slice a family, so that consumers know that it was looked at.
 */
import { WEIGHTS_ANNOTATION } from "../../../model/kubernetes/meta.ts";
import { asText, objectsIn, textsIn } from "../../kinds/common/json-access.ts";
import { type ApiObject, type Json, type OwnerReference, sameJson } from "../../registry/json.ts";
import { type EndpointGroup, groupKey, type SliceEndpoint } from "./desired.ts";
import { sliceAnnotations, weightsText } from "./metadata.ts";
import { packSlices } from "./pack.ts";

export interface SliceWrites {
  /** Without resourceVersion; names are generated. */
  readonly create: readonly ApiObject[];
  /** Whole objects with the resourceVersion that they are based on. */
  readonly update: readonly ApiObject[];
  readonly remove: readonly ApiObject[];
}

/** What all slices of one owner have in common. */
export interface SliceProfile {
  readonly namespace: string;
  /** Names are generated from it. */
  readonly namePrefix: string;
  readonly labels: { readonly [key: string]: string };
  readonly owner: OwnerReference;
  /** Annotations that every slice has besides those that are worked out. */
  readonly annotations: { readonly [key: string]: string };
  /** Families that have an empty slice when they have no endpoints. */
  readonly placeholders: readonly ("IPv4" | "IPv6")[];
}

/**
 * @param existing slices of this owner that the controller manages
 * @param triggerTime put on every slice that is written; absent removes it there
 */
export function planSlices(
  profile: SliceProfile,
  desired: ReadonlyMap<string, EndpointGroup>,
  existing: readonly ApiObject[],
  triggerTime: string | undefined,
): SliceWrites {
  const byGroup = Map.groupBy(existing, keyOfSlice);
  const groups = new Map(desired);
  for (const addressType of profile.placeholders) {
    const has = [...groups.values()].some((group) => group.addressType === addressType);
    if (!has) groups.set(groupKey(addressType, []), emptyGroup(addressType));
  }
  const create: ApiObject[] = [];
  const update: ApiObject[] = [];
  const remove: ApiObject[] = [];
  for (const [key, slices] of byGroup) if (!groups.has(key)) remove.push(...slices);
  for (const [key, group] of groups) {
    const slices = byGroup.get(key) ?? [];
    const make = { profile, group, triggerTime };
    const packed = packGroup(group, slices);
    create.push(...packed.create.map((endpoints) => newSlice(make, endpoints)));
    for (const slice of slices) {
      const name = slice.metadata.name ?? "";
      const endpoints = packed.update.get(name);
      if (packed.remove.includes(name)) remove.push(slice);
      else if (endpoints !== undefined) update.push(changedSlice(make, slice, endpoints));
      else if (isStale(make, slice)) {
        update.push(changedSlice(make, slice, objectsIn(slice["endpoints"]) as unknown as SliceEndpoint[]));
      }
    }
  }
  return { create, update, remove };
}

const emptyGroup = (addressType: "IPv4" | "IPv6"): EndpointGroup => ({
  addressType,
  ports: [],
  endpoints: new Map(),
  weights: new Map(),
});

function keyOfSlice(slice: ApiObject): string {
  const ports = objectsIn(slice["ports"]).map((port) => ({
    name: asText(port["name"]),
    protocol: asText(port["protocol"]),
    port: typeof port["port"] === "number" ? port["port"] : 0,
    ...(typeof port["appProtocol"] === "string" ? { appProtocol: port["appProtocol"] } : {}),
  }));
  return groupKey(asText(slice["addressType"]), ports);
}

/** Packing, except that an empty group keeps or gets exactly one empty slice. */
function packGroup(group: EndpointGroup, slices: readonly ApiObject[]): ReturnType<typeof packSlices> {
  const existing = slices.map((slice) => ({
    name: slice.metadata.name ?? "",
    endpoints: (slice["endpoints"] ?? []) as readonly Json[],
  }));
  const packed = packSlices(group.endpoints, existing);
  if (group.endpoints.size > 0) return packed;
  const [placeholder] = packed.remove;
  if (placeholder === undefined) return { ...packed, create: [[]] };
  const wasEmpty = existing.find(({ name }) => name === placeholder)?.endpoints.length === 0;
  return {
    ...packed,
    remove: packed.remove.filter((name) => name !== placeholder),
    ...(wasEmpty ? {} : { update: new Map([...packed.update, [placeholder, []]]) }),
  };
}

interface Make {
  readonly profile: SliceProfile;
  readonly group: EndpointGroup;
  readonly triggerTime: string | undefined;
}

const addressesOf = (endpoints: readonly SliceEndpoint[]): readonly string[] =>
  endpoints.flatMap((endpoint) => endpoint.addresses);

function newSlice(make: Make, endpoints: readonly SliceEndpoint[]): ApiObject {
  const { profile, group, triggerTime } = make;
  const weights = weightsText(addressesOf(endpoints), group.weights);
  const annotations = sliceAnnotations(profile.annotations, weights, triggerTime);
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      namespace: profile.namespace,
      generateName: profile.namePrefix,
      labels: { ...profile.labels },
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
      ownerReferences: [profile.owner],
    },
    addressType: group.addressType,
    endpoints: [...endpoints],
    ports: [...group.ports],
  };
}

function changedSlice(make: Make, slice: ApiObject, endpoints: readonly SliceEndpoint[]): ApiObject {
  const { profile, group, triggerTime } = make;
  const weights = weightsText(addressesOf(endpoints), group.weights);
  const base = { ...slice.metadata.annotations, ...profile.annotations };
  return {
    ...slice,
    metadata: {
      ...slice.metadata,
      labels: { ...profile.labels },
      annotations: sliceAnnotations(base, weights, triggerTime),
      ownerReferences: [profile.owner],
    },
    endpoints: [...endpoints],
    ports: [...group.ports],
  };
}

/** Endpoints are right, but labels, owner, weights or other annotations are not. */
function isStale({ profile, group }: Make, slice: ApiObject): boolean {
  const { labels, ownerReferences, annotations } = slice.metadata;
  const addresses = objectsIn(slice["endpoints"]).flatMap((endpoint) => textsIn(endpoint["addresses"]));
  return (
    !sameJson(labels, { ...profile.labels }) ||
    !sameJson(ownerReferences, [profile.owner]) ||
    annotations?.[WEIGHTS_ANNOTATION] !== weightsText(addresses, group.weights) ||
    Object.entries(profile.annotations).some(([key, value]) => annotations?.[key] !== value)
  );
}
