/** topology-mode Auto: shares of zones, hints in proportion, when there are none, and what a user sees of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ENDPOINT_SLICES } from "../../../../src/control-plane/controllers/endpoint-slices/controller.ts";
import { zoneHints } from "../../../../src/control-plane/controllers/endpoint-slices/zone-hints.ts";
import { zoneShares } from "../../../../src/control-plane/controllers/endpoint-slices/zone-shares.ts";
import type { ApiObject } from "../../../../src/control-plane/registry/json.ts";
import type { LocalClient } from "../../../../src/control-plane/registry/local-client.ts";
import { addNode, addPod, startCluster } from "./harness.ts";

const ZONE = "topology.kubernetes.io/zone";

interface NodeInput {
  readonly zone?: string;
  readonly cpu?: string;
  readonly ready?: boolean;
  readonly labels?: Record<string, string>;
}

function status({ cpu = "4", ready = true }: NodeInput): object {
  return { allocatable: { cpu }, conditions: [{ type: "Ready", status: ready ? "True" : "False" }] };
}

function nodeOf(name: string, input: NodeInput): ApiObject {
  const labels = { ...input.labels, ...(input.zone === undefined ? {} : { [ZONE]: input.zone }) };
  return { apiVersion: "v1", kind: "Node", metadata: { name, labels }, status: status(input) } as ApiObject;
}

function sharesOf(...inputs: readonly NodeInput[]): Record<string, number> | string {
  const shares = zoneShares(inputs.map((input, i) => nodeOf(`n${i}`, input)));
  return shares.kind === "known" ? Object.fromEntries(shares.shares) : shares.reason;
}

test("shares follow allocatable processors of ready nodes that work", () => {
  assert.deepEqual(sharesOf({ zone: "b", cpu: "3" }, { zone: "a", cpu: "1000m" }), { a: 0.25, b: 0.75 });
  const idle: readonly NodeInput[] = [
    { zone: "c", ready: false },
    { labels: { "node-role.kubernetes.io/control-plane": "" } },
  ];
  assert.deepEqual(sharesOf({ zone: "a" }, { zone: "b" }, { zone: "b", cpu: "8" }, ...idle), {
    a: 0.25,
    b: 0.75,
  });
  assert.match(String(sharesOf({ zone: "a" }, { zone: "b" }, {})), /zone not specified/);
  assert.match(String(sharesOf({ zone: "a" }, { zone: "b", cpu: "0" })), /CPU or zone/);
  assert.match(String(sharesOf({ zone: "a" }, { zone: "a" })), /fewer than two zones/);
  assert.match(String(sharesOf()), /fewer than two zones/);
});

/** Hints by zone of endpoint, such as `a>b`, counted; or the reason for none. */
function hintsOf(zones: string, shares: Record<string, number>): Record<string, number> | string {
  const endpoints = [...zones].map((zone, i) => ({
    address: `10.0.0.${i + 10}`,
    zone: zone === "-" ? "" : zone,
  }));
  const hints = zoneHints(endpoints, { kind: "known", shares: new Map(Object.entries(shares)) });
  if (hints.kind === "none") return hints.reason;
  const counts: Record<string, number> = {};
  for (const { address, zone } of endpoints) {
    const to = hints.zones.get(address) ?? "?";
    const move = zone === to ? zone : `${zone}>${to}`;
    counts[move] = (counts[move] ?? 0) + 1;
  }
  return counts;
}

const third = { a: 1 / 3, b: 1 / 3, c: 1 / 3 };
const ROWS: readonly (readonly [string, Record<string, number>, Record<string, number> | RegExp])[] = [
  ["aaabbbccc", third, { a: 3, b: 3, c: 3 }],
  ["aaaaabbcc", third, { a: 3, "a>b": 1, "a>c": 1, b: 2, c: 2 }],
  ["aaabbb", { a: 0.5, b: 0.5 }, { a: 3, b: 3 }],
  ["aaaaab", { a: 0.5, b: 0.5 }, { a: 3, "a>b": 2, b: 1 }],
  ["aaaa", { a: 0.5, b: 0.5 }, { a: 2, "a>b": 2 }],
  ["ab", { a: 0.5, b: 0.5 }, { a: 1, b: 1 }],
  // A quarter of four endpoints is one.
  ["aaab", { a: 0.75, b: 0.25 }, { a: 3, b: 1 }],
  // Endpoints of a zone without ready nodes stay there.
  ["aaabbbz", { a: 0.5, b: 0.5 }, { a: 3, b: 3, z: 1 }],
  ["ab", third, /insufficient number of endpoints \(2 endpoints, 3 zones\)/],
  ["aaabb", { a: 0.6, b: 0.4 }, { a: 3, b: 2 }],
  ["aabc", third, /exceeds the overload threshold/],
  ["aab-", { a: 0.5, b: 0.5 }, /do not have a zone/],
];

test("endpoints are shared out in proportion, few of them away from their own zone", () => {
  for (const [zones, shares, expected] of ROWS) {
    const seen = hintsOf(zones, shares);
    if (expected instanceof RegExp) assert.match(String(seen), expected, zones);
    else assert.deepEqual(seen, expected, zones);
  }
});

test("hints overload no zone by more than a fifth, and do not depend on the order", () => {
  const zone = fc.constantFrom("a", "b", "c");
  const cpus = fc.integer({ min: 1, max: 64 });
  fc.assert(
    fc.property(fc.array(zone, { minLength: 1, maxLength: 60 }), cpus, cpus, (zones, one, other) => {
      const shares = new Map([
        ["a", one / (one + other)],
        ["b", other / (one + other)],
      ]);
      const endpoints = zones.map((name, i) => ({ address: `10.0.0.${i}`, zone: name }));
      const hints = zoneHints(endpoints, { kind: "known", shares });
      assert.deepEqual(zoneHints(endpoints.toReversed(), { kind: "known", shares }), hints);
      if (hints.kind === "none") return;
      assert.equal(hints.zones.size, endpoints.length, "every endpoint has a hint");
      if (zones.includes("c")) return;
      for (const [name, share] of shares) {
        const count: number = [...hints.zones.values()].filter((to) => to === name).length;
        assert.ok(count >= Math.floor((share * endpoints.length) / 1.2), `${name} has ${count}`);
      }
    }),
  );
});

test("a Service with the annotation gets hints, loses them with an Event, and gets them back", async () => {
  const cluster = await startCluster([ENDPOINT_SLICES]);
  const { client } = cluster;
  const slice = async (): Promise<readonly (string | undefined)[]> => {
    const { items } = await client.list("endpointslices.discovery.k8s.io", { namespace: "default" });
    const endpoints = items.flatMap(
      (item) => (item["endpoints"] ?? []) as { hints?: { forZones?: { name: string }[] } }[],
    );
    return endpoints.map(({ hints }) => hints?.forZones?.map(({ name }) => name).join()).toSorted();
  };
  const events = async (): Promise<readonly string[]> => {
    const { items } = await client.list("events", { namespace: "default" });
    return items.map((event) => `${String(event["type"])} ${String(event["reason"])}`).toSorted();
  };
  try {
    for (const name of ["a", "b"]) {
      await addNode(client, `node-${name}`, { [ZONE]: name });
      await setStatus(client, `node-${name}`, {});
    }
    for (let i = 0; i < 4; i++) await addPod(client, `p${i}`, { ips: [`10.244.0.${i + 2}`], node: "node-a" });
    await client.create("services", {
      apiVersion: "v1",
      kind: "Service",
      metadata: {
        name: "web",
        namespace: "default",
        annotations: { "service.kubernetes.io/topology-mode": "Auto" },
      },
      spec: { selector: { app: "web" }, ports: [{ port: 80 }], trafficDistribution: "PreferSameNode" },
    });
    await cluster.settle();
    assert.deepEqual(await slice(), ["a", "a", "b", "b"]);
    assert.deepEqual(await events(), ["Normal TopologyAwareHintsEnabled"]);

    await setStatus(client, "node-b", { ready: false });
    await cluster.settle();
    assert.deepEqual(await slice(), [undefined, undefined, undefined, undefined]);
    assert.deepEqual(await events(), [
      "Normal TopologyAwareHintsEnabled",
      "Warning TopologyAwareHintsDisabled",
    ]);

    await setStatus(client, "node-b", { cpu: "12" });
    await cluster.settle();
    assert.deepEqual(await slice(), ["a", "b", "b", "b"]);
    assert.deepEqual(cluster.problems, []);
  } finally {
    await cluster.stop();
  }
});

async function setStatus(client: LocalClient, name: string, input: NodeInput): Promise<void> {
  await client.mergePatch("nodes", "", name, { status: status(input) } as never, "status");
}
