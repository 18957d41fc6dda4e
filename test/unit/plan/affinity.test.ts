/** Session affinity in nftables mode, walked through the compiled table: who is remembered where, who sticks to what. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import type { FeedObject } from "../../../src/model/objects.ts";
import { affinityChain } from "../../../src/plan/nftables/affinity.ts";
import { packIp } from "../../../src/plan/packed.ts";
import { planNft } from "../../../src/plan/plan-text.ts";
import { endpoint, nodeConfig, service, slice } from "../../support/objects.ts";
import { mustIp as ip } from "../../support/packet-cases.ts";
import { World } from "../../support/reconcile.ts";
import { TableModel } from "../../support/table-model.ts";
import { type Outcome, Tracer } from "../../support/tracer.ts";

const POD = "10.244.0.9";
const OUTSIDE = "203.0.113.7";
const PORT = { name: "", protocol: "TCP", port: 80, nodePort: 30_080 } as const;

const sticky = (more = {}) =>
  service("web", { ports: [PORT], sessionAffinity: "ClientIP", affinityTimeoutSeconds: 10, ...more });
const two = ["10.244.0.2", "10.244.0.3"];

function table(objects: readonly FeedObject[]): TableModel {
  return new TableModel().apply(planNft(objects, nodeConfig()).ops.ip);
}

function connect(model: TableModel, source: string, destination: string, port: number): readonly Outcome[] {
  const { nodeAddresses } = nodeConfig();
  return new Tracer(model, {
    family: "ip",
    source: ip(source),
    destination: ip(destination),
    protocol: 6,
    port,
    isFromNode: nodeAddresses.includes(ip(source)),
    nodeAddresses: new Set(nodeAddresses),
  }).trace();
}

/** Backends with their share. */
function shares(outcomes: readonly Outcome[]): Readonly<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const { backend = "-", probability } of outcomes) sums[backend] = (sums[backend] ?? 0) + probability;
  return Object.fromEntries(
    Object.entries(sums)
      .sort()
      .map(([backend, sum]) => [backend, Math.round(sum * 1e6) / 1e6]),
  );
}

function remember(model: TableModel, set: string, client: string): void {
  model.set(set).elements.set(packIp(ip(client)), {});
}

suite("session affinity in nftables mode", () => {
  test("a new client is balanced by weight and remembered at the endpoint that it got", () => {
    const weighted = slice("web", [endpoint("10.244.0.2", { weight: 3 }), endpoint("10.244.0.3")]);
    const outcomes = connect(table([sticky(), weighted]), POD, "10.96.0.10", 80);
    assert.deepEqual(shares(outcomes), { "10.244.0.2:8080": 0.75, "10.244.0.3:8080": 0.25 });
    for (const { backend = "", remembered } of outcomes) {
      const [address, port] = backend.split(":");
      assert.equal(remembered, `affinity-clients/default/web/tcp//${address}/${port}`);
    }
  });

  test("a known client gets its endpoint, is renewed, and at every frontend of the port", () => {
    const model = table([sticky({ externalIPs: [ip("198.51.100.1")] }), slice("web", two)]);
    for (const client of [POD, OUTSIDE])
      remember(model, "affinity-clients/default/web/tcp//10.244.0.3/8080", client);
    for (const [destination, port] of [
      ["10.96.0.10", 80],
      ["198.51.100.1", 80],
      ["192.168.0.2", 30_080],
    ] as const) {
      for (const client of [POD, OUTSIDE]) {
        const outcomes = connect(model, client, destination, port);
        assert.deepEqual(shares(outcomes), { "10.244.0.3:8080": 1 });
        assert.equal(outcomes[0]?.remembered, "affinity-clients/default/web/tcp//10.244.0.3/8080");
      }
    }
    assert.deepEqual(shares(connect(model, "10.244.0.77", "10.96.0.10", 80)), {
      "10.244.0.2:8080": 0.5,
      "10.244.0.3:8080": 0.5,
    });
  });

  test("any endpoints and weights: shares are exact, and each is remembered at its own", () => {
    const weights = fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 10 });
    fc.assert(
      fc.property(weights, fc.constantFrom("10.96.0.10", "192.168.0.2"), (list, destination) => {
        const sum = list.reduce((a, b) => a + b, 0);
        const endpoints = list.map((weight, i) => endpoint(`10.244.0.${i + 2}`, { weight }));
        const model = table([sticky(), slice("web", endpoints)]);
        const outcomes = connect(model, POD, destination, destination === "10.96.0.10" ? 80 : 30_080);
        if (sum === 0) {
          assert.deepEqual(
            outcomes.map(({ result }) => result),
            ["REJECT"],
          );
          return;
        }
        const found = shares(outcomes);
        for (const [i, weight] of list.entries())
          assert.ok(
            Math.abs((found[`10.244.0.${i + 2}:8080`] ?? 0) - weight / sum) < 1e-5,
            JSON.stringify(found),
          );
        for (const { backend = "", remembered = "" } of outcomes)
          assert.ok(remembered.endsWith(`/${backend.replace(":", "/")}`), `${backend} in ${remembered}`);
      }),
      { numRuns: 60 },
    );
  });

  test("ports do not share; masquerade and policies are those of a service without affinity", () => {
    const ports = [PORT, { ...PORT, name: "b", port: 81, nodePort: 30_081 }];
    const local = endpoint("10.244.0.2", { nodeName: "node1" });
    const more = { ports, externalTrafficPolicy: "Local", internalTrafficPolicy: "Cluster" } as const;
    const endpoints = slice("web", [local, "10.244.9.3"], {
      ports: ["", "b"].map((name) => ({ name, protocol: "TCP", port: 8080 })),
    });
    const walk = (objects: readonly FeedObject[]) => {
      const model = table(objects);
      return [POD, OUTSIDE, "192.168.0.2"].flatMap((client) =>
        (
          [
            ["10.96.0.10", 80],
            ["10.96.0.10", 81],
            ["192.168.0.2", 30_080],
          ] as const
        ).map(([to, port]) =>
          connect(model, client, to, port)
            .map(({ backend, masquerade }) => `${client} ${port} ${backend} ${masquerade}`)
            .sort()
            .filter((line, i, all) => all.indexOf(line) === i),
        ),
      );
    };
    const plain = walk([service("web", more), endpoints]);
    assert.deepEqual(walk([sticky(more), endpoints]), plain);
    const model = table([sticky(more), endpoints]);
    remember(model, "affinity-clients/default/web/tcp/b/10.244.0.2/8080", POD);
    assert.deepEqual(shares(connect(model, POD, "10.96.0.10", 81)), { "10.244.0.2:8080": 1 });
    assert.equal(Object.keys(shares(connect(model, POD, "10.96.0.10", 80))).length, 2);
  });

  test("a full set still balances: the last rules pick without remembering, and are counted", () => {
    const chain = affinityChain(SHAPE, "cluster");
    const model = table([sticky(), slice("web", two)]);
    const rules = model.rules.get(chain) ?? [];
    // What the kernel does with a set that is full: the statement ends its rule.
    model.rules.set(
      chain,
      rules.filter(({ statements }) => !statements.some(({ kind }) => kind === "dynset")),
    );
    assert.ok(rules.some(({ statements }) => statements.some(({ kind }) => kind === "counter")));
    const outcomes = connect(model, POD, "10.96.0.10", 80);
    assert.deepEqual(shares(outcomes), { "10.244.0.2:8080": 0.5, "10.244.0.3:8080": 0.5 });
    assert.ok(outcomes.every(({ remembered }) => remembered === undefined));
  });

  test("services without affinity add no chain and no set, one with affinity only its own", () => {
    const before = table([]);
    const plain = table([service("a"), service("b", { clusterIPs: ["10.96.0.11"] }), slice("a", two)]);
    assert.equal(plain.chains.size, before.chains.size);
    assert.equal(plain.sets.size, before.sets.size);
    const with2 = table([sticky(), slice("web", two)]);
    assert.equal(with2.sets.size - before.sets.size, 2);
    assert.equal(with2.chains.size - before.chains.size, 3);
  });

  test("what others remember outlives a change; an endpoint that goes takes its set with it; off removes all", async () => {
    const world = new World();
    const names = () => {
      const state = world.drivers.ip.read();
      return [...(state?.sets.keys() ?? []), ...(state?.chains ?? []).map(({ name }) => name)]
        .filter((name) => name.startsWith("affinity-"))
        .sort();
    };
    await world.snapshot([sticky(), slice("web", two)]);
    const all = names();
    assert.equal(all.length, 5);
    await world.feed([slice("web", ["10.244.0.3", "10.244.0.4"])]);
    const removed = all.filter((name) => !names().includes(name));
    assert.deepEqual(removed, ["affinity-clients/default/web/tcp//10.244.0.2/8080"]);
    const commits = world.commits;
    world.start();
    await world.snapshot([sticky(), slice("web", ["10.244.0.3", "10.244.0.4"])]);
    assert.equal(world.commits, commits, "a restart finds them and keeps them");
    world.start();
    await world.snapshot([sticky(), slice("web", ["10.244.0.3"])]);
    assert.equal(names().filter((name) => name.startsWith("affinity-clients/")).length, 1);
    await world.feed([sticky({ sessionAffinity: "None" })]);
    assert.deepEqual(names(), []);
    assert.deepEqual(world.reconciler.status().refused, []);
  });
});

const SHAPE = {
  key: "",
  namespace: "default",
  service: "web",
  portName: "",
  family: "ip",
  protocol: 6,
  frontends: [],
  internalPolicy: "Cluster",
  externalPolicy: "Cluster",
  affinitySeconds: 10,
  sourceRanges: [],
} as const;
