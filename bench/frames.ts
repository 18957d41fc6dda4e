/** Benchmarks. Clusters of any size as messages of the node stream, which is how an agent gets them. */
import {
  encodeBegin,
  encodeCommit,
  encodeUpsert,
  encodeWelcome,
} from "../src/codec/stream/server-message.ts";
import type { IpAddress } from "../src/model/ip.ts";
import type { EndpointSlice, FeedObject, ObjectMeta, Service } from "../src/model/objects.ts";
import { VERSION } from "../src/model/version.ts";

/** `cluster-ip`: one port, ClusterIP alone. `node-port`: each service has a node port beside (27,000 at most). */
export type Mix = "cluster-ip" | "node-port";

const EPOCH = "bench";
/** Well below the stream's limit for one message. */
const MESSAGE_BYTES = 64 * 1024;
const CLUSTER_BASE = 0x0a600001;
const ENDPOINT_BASE = 0x0b000001;
const NODES = 100;

function ip(number: number): IpAddress {
  return `${number >>> 24}.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}` as IpAddress;
}

function meta(name: string): ObjectMeta {
  return {
    namespace: `ns-${name.length}`,
    name,
    uid: `00000000-0000-4000-8000-${name.padStart(12, "0")}`,
    creationTimestampMs: 1_700_000_000_000,
    labels: {},
    annotations: {},
  };
}

export function benchService(i: number, mix: Mix): Service {
  return {
    kind: "Service",
    meta: meta(`svc-${i}`),
    type: mix === "node-port" ? "NodePort" : "ClusterIP",
    headless: false,
    clusterIPs: [ip(CLUSTER_BASE + i)],
    externalIPs: [],
    loadBalancerIngress: [],
    loadBalancerSourceRanges: [],
    ports: [
      { name: "http", protocol: "TCP", port: 80, nodePort: mix === "node-port" ? 30_000 + (i % 32_768) : 0 },
    ],
    internalTrafficPolicy: "Cluster",
    externalTrafficPolicy: "Cluster",
    healthCheckNodePort: 0,
    sessionAffinity: "None",
    affinityTimeoutSeconds: 10_800,
    publishNotReadyAddresses: false,
  };
}

/** The one slice of service `i`; `shift` moves its first endpoint to another address, `count` is how many it has. */
export function benchSlice(i: number, perService: number, count = perService, shift = 0): EndpointSlice {
  const base = ENDPOINT_BASE + i * (perService + 2);
  return {
    kind: "EndpointSlice",
    meta: meta(`svc-${i}`),
    serviceName: `svc-${i}`,
    addressType: "IPv4",
    ports: [{ name: "http", protocol: "TCP", port: 8080 }],
    endpoints: Array.from({ length: count }, (_, j) => ({
      addresses: [ip(base + (j === 0 ? shift * (perService + 1) : j))],
      ready: true,
      serving: true,
      terminating: false,
      nodeName: `node-${(i + j) % NODES}`,
      zone: "zone-a",
    })),
  };
}

function* objects(services: number, perService: number, mix: Mix): Iterable<FeedObject> {
  for (let i = 0; i < services; i++) {
    yield benchService(i, mix);
    yield benchSlice(i, perService);
  }
}

export function welcome(): Buffer {
  return encodeWelcome({ epoch: EPOCH, revision: 1, version: VERSION, unknownSets: [] });
}

/** Messages of a whole snapshot at revision 1. */
export function* snapshotMessages(services: number, perService: number, mix: Mix): Iterable<Buffer> {
  const begin = {
    revision: 1,
    snapshot: true,
    authoritative: true,
    fromRevision: 0,
    changedAtMs: 0,
    epoch: EPOCH,
  };
  let fields: Buffer[] = [encodeBegin(begin)];
  let bytes = 0;
  for (const object of objects(services, perService, mix)) {
    const field = encodeUpsert(object);
    fields.push(field);
    bytes += field.length;
    if (bytes < MESSAGE_BYTES) continue;
    yield Buffer.concat(fields);
    fields = [];
    bytes = 0;
  }
  yield Buffer.concat([...fields, encodeCommit({ revision: 1, leftOut: 0 })]);
}

/** One message that brings one object, from the revision before. */
export function changeMessage(revision: number, object: FeedObject): Buffer {
  const begin = {
    revision,
    snapshot: false,
    authoritative: false,
    fromRevision: revision - 1,
    changedAtMs: 0,
    epoch: "",
  };
  return Buffer.concat([encodeBegin(begin), encodeUpsert(object), encodeCommit({ revision, leftOut: 0 })]);
}
