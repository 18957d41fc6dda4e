/** Arbitrary trimmed objects for property tests of the node stream. */
import fc from "fast-check";
import { type Cidr, type IpAddress, ipFromBytes, parseCidr } from "../../../src/model/ip.ts";
import type { FeedObject, ObjectMeta } from "../../../src/model/objects.ts";

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/);
const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 20 });
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const toIp = (raw: Uint8Array): IpAddress => ipFromBytes(raw) ?? ("" as IpAddress);
const ip4 = bytes(4).map(toIp);
const ip6 = bytes(16).map(toIp);
const ip = fc.oneof(ip4, ip6);
const cidr: fc.Arbitrary<Cidr> = fc
  .tuple(ip4, fc.integer({ min: 0, max: 32 }))
  .map(([address, bits]) => parseCidr(`${address}/${bits}`) as Cidr);
const port = fc.integer({ min: 1, max: 65_535 });
const protocol = fc.constantFrom("TCP" as const, "UDP" as const, "SCTP" as const);
const policy = fc.constantFrom("Cluster" as const, "Local" as const);
const optional = { requiredKeys: [] as [] };

const meta: fc.Arbitrary<ObjectMeta> = fc
  .tuple(
    fc.record({
      namespace: fc.oneof(name, fc.constant("")),
      name,
      uid: fc.oneof(fc.uuid(), fc.constant("")),
      creationTimestampMs: fc.integer({ min: 0, max: 4_000_000_000_000 }),
      labels: fc.dictionary(name, fc.oneof(text, fc.constant("")), { maxKeys: 4, noNullPrototype: true }),
      annotations: fc.dictionary(name, text, { maxKeys: 2, noNullPrototype: true }),
    }),
    fc.record({ deletionTimestampMs: fc.integer({ min: 1, max: 4_000_000_000_000 }) }, optional),
  )
  .map(([required, more]) => ({ ...required, ...more }));

const service = fc
  .tuple(
    fc.record({
      kind: fc.constant("Service" as const),
      meta,
      type: fc.constantFrom(
        "ClusterIP" as const,
        "NodePort" as const,
        "LoadBalancer" as const,
        "ExternalName" as const,
      ),
      headless: fc.boolean(),
      clusterIPs: fc.array(ip, { maxLength: 2 }),
      externalIPs: fc.array(ip, { maxLength: 3 }),
      loadBalancerIngress: fc.array(
        fc
          .tuple(
            fc.record({ ipMode: fc.constantFrom("VIP" as const, "Proxy" as const) }),
            fc.record({ ip, hostname: name }, optional),
          )
          .map(([a, b]) => ({ ...a, ...b })),
        { maxLength: 2 },
      ),
      loadBalancerSourceRanges: fc.array(cidr, { maxLength: 3 }),
      ports: fc.array(
        fc.record({
          name: fc.oneof(name, fc.constant("")),
          protocol,
          port,
          nodePort: fc.oneof(port, fc.constant(0)),
        }),
        { maxLength: 4 },
      ),
      internalTrafficPolicy: policy,
      externalTrafficPolicy: policy,
      healthCheckNodePort: fc.oneof(port, fc.constant(0)),
      sessionAffinity: fc.constantFrom("None" as const, "ClientIP" as const),
      affinityTimeoutSeconds: fc.integer({ min: 0, max: 86_400 }),
      publishNotReadyAddresses: fc.boolean(),
    }),
    fc.record({ externalName: name }, optional),
  )
  .map(([required, more]) => ({ ...required, ...more }));

const endpoint = (address: fc.Arbitrary<IpAddress>) =>
  fc
    .tuple(
      fc.record({
        addresses: fc.array(address, { minLength: 1, maxLength: 3 }),
        ready: fc.boolean(),
        serving: fc.boolean(),
        terminating: fc.boolean(),
      }),
      fc.record(
        {
          hostname: name,
          nodeName: name,
          zone: name,
          hintZones: fc.array(name, { minLength: 1, maxLength: 3 }),
          hintNodes: fc.array(name, { minLength: 1, maxLength: 3 }),
          weight: fc.integer({ min: 0, max: 256 }),
          targetPod: fc.tuple(name, name).map(([a, b]) => `${a}/${b}`),
        },
        optional,
      ),
    )
    .map(([required, more]) => ({ ...required, ...more }));

const slice = fc.constantFrom("IPv4" as const, "IPv6" as const).chain((addressType) =>
  fc.record({
    kind: fc.constant("EndpointSlice" as const),
    meta,
    serviceName: name,
    addressType: fc.constant(addressType),
    ports: fc.array(
      fc
        .tuple(
          fc.record({ name: fc.oneof(name, fc.constant("")), protocol, port }),
          fc.record({ appProtocol: name }, optional),
        )
        .map(([a, b]) => ({ ...a, ...b })),
      { maxLength: 3 },
    ),
    endpoints: fc.array(endpoint(addressType === "IPv4" ? ip4 : ip6), { maxLength: 20 }),
  }),
);

const node = fc
  .tuple(
    fc.record({
      kind: fc.constant("Node" as const),
      meta,
      internalIPs: fc.array(ip, { maxLength: 2 }),
      podCIDRs: fc.array(cidr, { maxLength: 2 }),
      taintKeys: fc.array(name, { maxLength: 2 }),
    }),
    fc.record({ zone: name }, optional),
  )
  .map(([required, more]) => ({ ...required, ...more }));

const pod = fc
  .tuple(
    fc.record({
      kind: fc.constant("Pod" as const),
      meta,
      podIPs: fc.array(ip, { maxLength: 2 }),
      phase: fc.constantFrom(
        "Pending" as const,
        "Running" as const,
        "Succeeded" as const,
        "Failed" as const,
        "Unknown" as const,
      ),
      hostNetwork: fc.boolean(),
    }),
    fc.record({ nodeName: name, hostname: name, subdomain: name }, optional),
  )
  .map(([required, more]) => ({ ...required, ...more }));

export const anyObject: fc.Arbitrary<FeedObject> = fc
  .oneof(
    service,
    slice,
    fc.record({ kind: fc.constant("Namespace" as const), meta }),
    node,
    fc.record({ kind: fc.constant("ServiceCIDR" as const), meta, cidrs: fc.array(cidr, { maxLength: 2 }) }),
    pod,
  )
  // fast-check makes objects without prototype now and then.
  .map((object) => structuredClone(object));
