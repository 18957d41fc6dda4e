/** Random walks: what happens to EndpointSlices in one step; see changes.ts. */
import type { Change, Cluster, Family, SliceJson } from "./cluster.ts";
import { familyOf, nameOf, SERVICE_NAME_LABEL } from "./cluster.ts";
import {
  randomEndpoint,
  randomEndpoints,
  randomHints,
  randomSlice,
  randomSlicePorts,
  randomWeights,
} from "./generator.ts";
import { ENDPOINTS, SERVICE_NAMES, SIZES } from "./pools.ts";
import type { Random } from "./random.ts";

function anySlice(cluster: Cluster, random: Random): SliceJson | undefined {
  return cluster.slices.size === 0 ? undefined : random.pick([...cluster.slices.values()]);
}

/** Writes a slice of a service. @returns its name */
export function addSlice(cluster: Cluster, random: Random, service: string, family: Family): string {
  const [namespace = "", own = ""] = service.split("/");
  const name = `${own}-${family}-${random.below(2)}`;
  cluster.slices.set(`${namespace}/${name}`, randomSlice(random, service, name, family));
  return `${namespace}/${name}`;
}

/** One change of one slice. */
function onSlice(what: string, edit: (slice: SliceJson, random: Random) => unknown): Change {
  return (cluster, random) => {
    const slice = anySlice(cluster, random);
    if (slice === undefined) return undefined;
    const result = edit(slice, random);
    return result === undefined ? undefined : `${what} of ${nameOf(slice)}: ${JSON.stringify(result)}`;
  };
}

function sliceFamily(slice: SliceJson): Family {
  return slice.addressType === "IPv4" ? "ip" : "ip6";
}

export const createSlice: Change = (cluster, random) => {
  const name = random.pick(SERVICE_NAMES);
  return `write slice ${addSlice(cluster, random, name, random.pick(["ip", "ip6"] as const))}`;
};

export const deleteSlice: Change = (cluster, random) => {
  const slice = anySlice(cluster, random);
  if (slice === undefined) return undefined;
  cluster.slices.delete(nameOf(slice));
  return `delete slice ${nameOf(slice)}`;
};

/** A slice that belongs to another service from now on. */
export const moveSlice: Change = (cluster, random) => {
  const slice = anySlice(cluster, random);
  if (slice === undefined) return undefined;
  const inNamespace = SERVICE_NAMES.filter((name) => name.startsWith(`${slice.metadata.namespace}/`));
  const [, own = ""] = random.pick(inNamespace).split("/");
  if (random.once(8)) {
    slice.metadata.labels = {};
    return `slice ${nameOf(slice)} loses its service`;
  }
  slice.metadata.labels = { [SERVICE_NAME_LABEL]: own };
  return `slice ${nameOf(slice)} moves to ${own}`;
};

/** An endpoint stands in two slices of one service for a while, often with different conditions. */
export const duplicateEndpoint: Change = (cluster, random) => {
  const slice = anySlice(cluster, random);
  const endpoint = slice === undefined ? undefined : slice.endpoints[random.below(slice.endpoints.length)];
  if (slice === undefined || endpoint === undefined) return undefined;
  const name = `${slice.metadata.name.slice(0, -1)}${random.below(3)}`;
  const twin: SliceJson = cluster.slices.get(`${slice.metadata.namespace}/${name}`) ?? {
    ...structuredClone(slice),
    metadata: { ...structuredClone(slice.metadata), name },
    endpoints: [],
    weights: {},
  };
  const [address = ""] = endpoint.addresses;
  if (familyOf(address) !== sliceFamily(twin)) return undefined;
  twin.endpoints.push(
    random.once(2) ? structuredClone(endpoint) : randomEndpoint(random, address, random.once(2)),
  );
  cluster.slices.set(nameOf(twin), twin);
  const isMoved = random.once(2);
  if (isMoved && twin !== slice) slice.endpoints = slice.endpoints.filter((one) => one !== endpoint);
  return `${isMoved ? "move" : "repeat"} endpoint ${address} of ${nameOf(slice)} in ${nameOf(twin)}`;
};

function resize(slice: SliceJson, random: Random): unknown {
  const wanted = random.pick(SIZES);
  const family = sliceFamily(slice);
  if (wanted <= slice.endpoints.length) slice.endpoints = random.take(slice.endpoints, wanted);
  else {
    const known = new Set(slice.endpoints.flatMap(({ addresses }) => addresses));
    const more = randomEndpoints(random, family, wanted).filter(
      ({ addresses }) => !known.has(addresses[0] ?? ""),
    );
    slice.endpoints = [...slice.endpoints, ...more];
  }
  return slice.endpoints.length;
}

function changeConditions(slice: SliceJson, random: Random): unknown {
  const isAll = random.once(3);
  const state = random.pick(["ready", "terminating", "dead"] as const);
  let changed = 0;
  for (const endpoint of slice.endpoints) {
    if (!isAll && !random.once(3)) continue;
    changed++;
    endpoint.conditions = {
      ready: state === "ready",
      serving: state !== "dead",
      terminating: state !== "ready",
    };
  }
  return changed === 0 ? undefined : `${changed} ${state}`;
}

function changeHints(slice: SliceJson, random: Random): unknown {
  const isNone = random.once(3);
  const same = random.once(2) ? randomHints(random) : undefined;
  for (const endpoint of slice.endpoints) {
    delete endpoint.hints;
    if (!isNone) Object.assign(endpoint, structuredClone(same ?? randomHints(random)));
  }
  return isNone ? "none" : (same?.hints ?? "different ones");
}

function oneEndpoint(slice: SliceJson, random: Random): unknown {
  const at = random.below(slice.endpoints.length);
  const address = random.pick(ENDPOINTS[sliceFamily(slice)]);
  if (random.once(2) && slice.endpoints.length > 0) {
    const [gone] = slice.endpoints.splice(at, 1);
    return `less ${gone?.addresses.join()}`;
  }
  if (slice.endpoints.some(({ addresses }) => addresses.includes(address))) return undefined;
  slice.endpoints.splice(at, 0, randomEndpoint(random, address, random.once(3)));
  return `more ${address}`;
}

export const changeEndpoints = onSlice("endpoints", resize);
export const changeState = onSlice("conditions", changeConditions);
export const changeTopology = onSlice("hints", changeHints);
export const changeWeights = onSlice("weights", (slice, random) => {
  slice.weights = randomWeights(random, slice.endpoints);
  return slice.weights;
});
export const changeSlicePorts = onSlice("ports", (slice, random) => {
  slice.ports = randomSlicePorts(random);
  return slice.ports;
});
export const changeOneEndpoint = onSlice("one endpoint", oneEndpoint);
