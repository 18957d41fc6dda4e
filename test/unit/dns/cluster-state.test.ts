/** Cluster data from feeds: step by step equals at once, whatever the order; snapshots drop what they do not name. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ClusterState } from "../../../src/dns/cluster/cluster-state.ts";
import { observeProgramming } from "../../../src/dns/cluster/programming-metric.ts";
import { MetricSet } from "../../../src/dns/metrics/metric-set.ts";
import type { FeedBatch } from "../../../src/feed/feed.ts";
import { type IpAddress, parseIp } from "../../../src/model/ip.ts";
import {
  type EndpointSlice,
  type FeedObject,
  formatKey,
  keyOf,
  type Service,
} from "../../../src/model/objects.ts";
import { endpoint, meta, service as serviceOf, slice as sliceOf } from "../../support/objects.ts";

const ip = (n: number): IpAddress => parseIp(`10.0.0.${n}`) ?? assert.fail();

const service = (name: string, address: number): Service =>
  serviceOf(`ns/${name}`, {
    headless: address === 0,
    clusterIPs: address === 0 ? [] : [ip(address)],
    ports: [],
  });

function slice(name: string, serviceName: string, addresses: readonly number[]): EndpointSlice {
  const endpoints = addresses.map((n) => endpoint(ip(n), { ready: n % 5 !== 0 }));
  return { ...sliceOf(`ns/${serviceName}`, endpoints, { ports: [] }), meta: meta("ns", name) };
}

const batch = (snapshot: boolean): FeedBatch => ({ revision: 1n, snapshot, origin: "live", changedAtMs: 0 });
const names = fc.constantFrom("a", "b", "c");
const object: fc.Arbitrary<FeedObject> = fc.oneof(
  fc.tuple(names, fc.integer({ min: 0, max: 5 })).map(([name, n]) => service(name, n)),
  fc
    .tuple(
      fc.constantFrom("s1", "s2", "s3"),
      names,
      fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 4 }),
    )
    .map(([name, owner, addresses]) => slice(name, owner, addresses)),
);
const step = fc.oneof(
  fc.record({ op: fc.constant("upsert" as const), object }),
  fc.record({ op: fc.constant("remove" as const), object }),
);

/** Everything that answers depend on, as text. */
function dump(state: ClusterState): string {
  const services = [...state.services.keys()].sort().map((key) => {
    const entry = state.services.get(key);
    return `${key} ${JSON.stringify(entry?.service)} ${JSON.stringify(entry?.slices)}`;
  });
  const owners = Array.from({ length: 10 }, (_, n) => n + 1).map((n) => {
    const ofServices = state.clusterAddresses.owners(ip(n)).map((entry) => entry.name);
    const ofEndpoints = state.endpointAddresses.owners(ip(n)).map((entry) => entry.name);
    return `${n} ${ofServices.sort().join()} ${ofEndpoints.sort().join()}`;
  });
  const prefixes = ["0a000001", "0a000005", "0a0000", "0b"].map((hex) =>
    state.endpointAddresses.hasPrefix(hex, "ip", () => true),
  );
  return [...services, ...owners, prefixes.join(), [...state.namespaces.keys()].join()].join("\n");
}

test("changes one by one lead to the same state as the result at once", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.boolean(), (steps, isSortedEarly) => {
      const gradual = new ClusterState(() => 0);
      const final = new Map<string, FeedObject>();
      if (isSortedEarly) gradual.endpointAddresses.hasPrefix("0a", "ip", () => true);
      for (const { op, object: changed } of steps) {
        gradual.begin(batch(false));
        if (op === "upsert") gradual.upsert(changed);
        else gradual.remove(keyOf(changed));
        gradual.commit(batch(false));
        if (op === "upsert") final.set(formatKey(keyOf(changed)), changed);
        else final.delete(formatKey(keyOf(changed)));
      }
      const atOnce = new ClusterState(() => 0);
      atOnce.begin(batch(true));
      for (const value of final.values()) atOnce.upsert(value);
      atOnce.commit(batch(true));
      assert.equal(dump(gradual), dump(atOnce));
    }),
    { numRuns: 300 },
  );
});

test("a snapshot drops what it does not name, at its commit and not before", () => {
  const state = new ClusterState(() => 0);
  state.begin(batch(true));
  state.upsert(service("a", 1));
  state.upsert(slice("s1", "a", [1]));
  state.commit(batch(true));
  state.begin(batch(true));
  state.upsert(service("b", 2));
  assert.ok(state.services.has("a.ns"));
  state.commit(batch(true));
  assert.deepEqual([...state.services.keys()], ["b.ns"]);
  assert.equal(state.endpointAddresses.size, 0);
});

test("synced after the first commit; listeners learn which services changed", () => {
  const state = new ClusterState(() => 5_000);
  const seen: string[][] = [];
  const off = state.onCommit((changed) => seen.push([...changed].sort()));
  assert.equal(state.synced, false);
  state.begin(batch(true));
  state.upsert(service("a", 1));
  state.upsert(slice("s1", "b", [1]));
  state.commit(batch(true));
  assert.equal(state.synced, true);
  state.begin(batch(false));
  state.upsert(slice("s1", "a", [2]));
  state.commit(batch(false));
  off();
  assert.deepEqual(seen, [
    ["a.ns", "b.ns"],
    ["a.ns", "b.ns"],
  ]);
});

test("programming time is observed for changes of known age, not for snapshots", async () => {
  const metrics = new MetricSet();
  const state = new ClusterState(() => 5_000);
  observeProgramming(state, metrics, () => 5_000);
  for (const [snapshot, changedAtMs] of [
    [true, 1_000],
    [false, 0],
    [false, 4_900],
  ] as const) {
    const change: FeedBatch = { ...batch(snapshot), changedAtMs };
    state.begin(change);
    state.upsert(service("a", 1));
    state.commit(change);
  }
  const text = await metrics.text();
  const name = "coredns_kubernetes_dns_programming_duration_seconds";
  assert.ok(text.includes(`${name}_count{service_kind="cluster_ip"} 1\n`), text);
  assert.ok(text.includes(`${name}_bucket{service_kind="cluster_ip",le="0.128"} 1\n`));
});
