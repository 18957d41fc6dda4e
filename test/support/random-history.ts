/** Test code. Random histories of Services and EndpointSlices that collide on purpose, for property tests. */
import fc from "fast-check";
import type { FeedObject, ObjectKey, ServicePort } from "../../src/model/objects.ts";
import { keyOf } from "../../src/model/objects.ts";
import { endpoint, service, slice } from "./objects.ts";
import { mustCidr, mustIp } from "./packet-cases.ts";

// Few values, so that units collide all the time.
const NAMES = ["a", "b", "c", "d"];
const EXTERNAL = ["203.0.113.1", "203.0.113.2"].map(mustIp);
const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;

const portArbitrary: fc.Arbitrary<ServicePort> = fc.record({
  name: fc.constantFrom("", "x"),
  protocol: fc.constantFrom(...PROTOCOLS),
  port: fc.constantFrom(80, 81),
  nodePort: fc.constantFrom(0, 30_000, 30_001),
});

const serviceArbitrary = fc
  .record({
    name: fc.constantFrom(...NAMES),
    clusterIP: fc.constantFrom("10.96.0.1", "10.96.0.2", "10.96.0.3"),
    isDual: fc.boolean(),
    createdAtMs: fc.constantFrom(0, 1, 2, 3),
    ports: fc.uniqueArray(portArbitrary, {
      minLength: 1,
      maxLength: 2,
      selector: (port) => `${port.name}${port.protocol}`,
    }),
    externalIPs: fc.subarray(EXTERNAL),
    hasIngress: fc.boolean(),
    ranges: fc.subarray(["192.0.2.0/24", "192.0.2.128/25", "192.168.0.0/16"].map(mustCidr)),
    internal: fc.constantFrom("Cluster" as const, "Local" as const),
    external: fc.constantFrom("Cluster" as const, "Local" as const),
    isHeadless: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    affinitySeconds: fc.constantFrom(0, 0, 10, 20),
  })
  .map((s) =>
    service(s.name, {
      clusterIPs: s.isDual ? [s.clusterIP, "fd00:10:96::1"] : [s.clusterIP],
      createdAtMs: s.createdAtMs,
      headless: s.isHeadless,
      ports: s.ports,
      externalIPs: s.externalIPs,
      loadBalancerIngress: s.hasIngress ? [{ ip: mustIp("203.0.113.2"), ipMode: "VIP" }] : [],
      loadBalancerSourceRanges: s.ranges,
      internalTrafficPolicy: s.internal,
      externalTrafficPolicy: s.external,
      sessionAffinity: s.affinitySeconds > 0 ? "ClientIP" : "None",
      affinityTimeoutSeconds: s.affinitySeconds > 0 ? s.affinitySeconds : 10_800,
    }),
  );

const endpointArbitrary = (base: string) =>
  fc
    .record({
      last: fc.integer({ min: 1, max: 12 }),
      isHere: fc.boolean(),
      state: fc.constantFrom("ready", "terminating", "dead"),
      weight: fc.constantFrom(undefined, 0, 1, 3, 256),
      zones: fc.constantFrom([], ["z1"], ["z2"]),
    })
    .map((e) =>
      endpoint(`${base}${e.last}`, {
        nodeName: e.isHere ? "node1" : "node2",
        ready: e.state === "ready",
        serving: e.state !== "dead",
        terminating: e.state !== "ready",
        hintZones: e.zones,
        ...(e.weight === undefined ? {} : { weight: e.weight }),
      }),
    );

const sliceArbitrary = fc
  .record({
    name: fc.constantFrom(...NAMES),
    suffix: fc.constantFrom("1", "2"),
    endpoints: fc.array(endpointArbitrary("10.244.0."), { maxLength: 12 }),
    port: fc.constantFrom(8080, 8081),
  })
  .map((s) =>
    slice(s.name, s.endpoints, {
      suffix: s.suffix,
      ports: PROTOCOLS.flatMap((protocol) => ["", "x"].map((name) => ({ name, protocol, port: s.port }))),
    }),
  );

/** One step of a history. */
export type Step =
  | { readonly kind: "upsert"; readonly object: FeedObject }
  | { readonly kind: "remove"; readonly key: ObjectKey }
  | { readonly kind: "commit" | "restart" | "flush" | "snapshot" };

export const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: serviceArbitrary.map((object): Step => ({ kind: "upsert", object })) },
  { weight: 10, arbitrary: sliceArbitrary.map((object): Step => ({ kind: "upsert", object })) },
  {
    weight: 4,
    arbitrary: fc
      .oneof(serviceArbitrary, sliceArbitrary)
      .map((o): Step => ({ kind: "remove", key: keyOf(o) })),
  },
  { weight: 6, arbitrary: fc.constant<Step>({ kind: "commit" }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Step>({ kind: "restart" }, { kind: "flush" }, { kind: "snapshot" }),
  },
);
