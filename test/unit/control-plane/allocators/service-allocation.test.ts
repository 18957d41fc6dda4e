/** What Services take and give back, over a table in memory (facts: kubernetes-api-contract.md 2.1-2.3). */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { allocateService, releaseService } from "../../../../src/control-plane/kinds/service/allocate.ts";
import { SERVICE } from "../../../../src/control-plane/kinds/service/kind.ts";
import type { ServiceSpec } from "../../../../src/control-plane/kinds/service/view.ts";
import { ApiError } from "../../../../src/control-plane/registry/api-error.ts";
import type { ApiObject, JsonObject } from "../../../../src/control-plane/registry/json.ts";
import { Table, write } from "../kinds/hooks.ts";

const service = (name: string, spec: JsonObject): ApiObject => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { namespace: "default", name },
  spec,
});
const specOf = (object: ApiObject): ServiceSpec => object["spec"] as ServiceSpec;
const PORTS = [{ port: 80 }];
const DUAL = { serviceCidrs: ["10.96.0.0/12", "fd00:10:96::/112"] };

async function create(table: Table, name: string, spec: JsonObject, settings = {}): Promise<ApiObject> {
  const { object, errors } = await write(SERVICE, service(name, spec), { table, settings });
  assert.deepEqual(errors, []);
  return object;
}

async function update(table: Table, old: ApiObject, change: JsonObject, settings = {}): Promise<ApiObject> {
  const next = { ...old, spec: { ...(old["spec"] as JsonObject), ...change } };
  const { object, errors } = await write(SERVICE, next, { old, table, settings });
  assert.deepEqual(errors, []);
  return object;
}

async function remove(table: Table, object: ApiObject): Promise<void> {
  const context = table.context();
  await releaseService(object, context);
  context.commit();
}

const keys = (table: Table): string[] => [...table.keys.keys()].toSorted();

suite("addresses", () => {
  test("a name given twice is refused, and the first keeps it", async () => {
    const table = new Table();
    await create(table, "a", { ports: PORTS, clusterIP: "10.96.0.5" });
    const { errors } = await write(SERVICE, service("b", { ports: PORTS, clusterIP: "10.96.0.5" }), {
      table,
    });
    assert.deepEqual(errors, [
      'spec.clusterIPs: Invalid value: ["10.96.0.5"]: failed to allocate IP 10.96.0.5: provided IP is already allocated',
    ]);
    assert.equal(table.keys.get("/allocation/clusterip/10.96.0.5"), "services/default/a");
  });

  test("type changes give back and take again", async () => {
    const table = new Table();
    const first = await create(table, "a", { type: "NodePort", ports: PORTS });
    assert.equal(table.keys.size, 2);
    const away = await update(table, first, { type: "ExternalName", externalName: "a.example" });
    assert.deepEqual(keys(table), []);
    assert.equal(specOf(away).clusterIP, undefined);
    assert.equal(specOf(away).ports?.[0]?.nodePort, undefined);
    const back = await update(table, away, { type: "ClusterIP", externalName: undefined });
    assert.match(specOf(back).clusterIP ?? "", /^10\./);
    await remove(table, back);
    assert.deepEqual(keys(table), []);
  });

  test("dual stack: two addresses; policy SingleStack gives the second back, PreferDualStack takes one again", async () => {
    const table = new Table();
    const both = await create(table, "a", { ports: PORTS, ipFamilyPolicy: "RequireDualStack" }, DUAL);
    assert.deepEqual(specOf(both).ipFamilies, ["IPv4", "IPv6"]);
    assert.equal(table.keys.size, 2);
    const one = await update(table, both, { ipFamilyPolicy: "SingleStack" }, DUAL);
    assert.deepEqual(
      [specOf(one).ipFamilies, specOf(one).clusterIPs?.length, table.keys.size],
      [["IPv4"], 1, 1],
    );
    const again = await update(table, one, { ipFamilyPolicy: "PreferDualStack" }, DUAL);
    assert.deepEqual([specOf(again).clusterIPs?.length, table.keys.size], [2, 2]);
    assert.equal(specOf(again).clusterIPs?.[0], specOf(both).clusterIPs?.[0]);
  });

  test("headless without selector is dual stack even on a single-stack cluster", async () => {
    const object = await create(new Table(), "a", { clusterIP: "None" });
    assert.deepEqual(specOf(object).ipFamilies, ["IPv4", "IPv6"]);
    assert.equal(specOf(object).ipFamilyPolicy, "RequireDualStack");
  });

  test("a full range is the server's error, not the user's", async () => {
    const table = new Table();
    const settings = { serviceCidrs: ["10.0.0.0/30"] };
    await create(table, "a", { ports: PORTS }, settings);
    await create(table, "b", { ports: PORTS }, settings);
    await assert.rejects(
      write(SERVICE, service("c", { ports: PORTS }), { table, settings }),
      (error: unknown) =>
        error instanceof ApiError && error.code === 500 && /range is full/.test(error.message),
    );
  });

  test("a further ServiceCIDR is used when the configured range is full", async () => {
    const table = new Table();
    const settings = { serviceCidrs: ["10.0.0.0/30"] };
    const extra = { metadata: { name: "more" }, spec: { cidrs: ["10.1.0.0/24"] } };
    table.keys.set("/objects/networking.k8s.io/servicecidrs/more", JSON.stringify(extra));
    for (const name of ["a", "b"]) await create(table, name, { ports: PORTS }, settings);
    assert.match(specOf(await create(table, "c", { ports: PORTS }, settings)).clusterIP ?? "", /^10\.1\.0\./);
    const asked = await create(table, "d", { ports: PORTS, clusterIP: "10.1.0.3" }, settings);
    assert.equal(specOf(asked).clusterIP, "10.1.0.3");
  });
});

suite("node ports", () => {
  test("one number for one port over two protocols (upstream initNodePorts)", async () => {
    const ports = [
      { name: "u", port: 53, protocol: "UDP" },
      { name: "t", port: 53 },
      { name: "m", port: 9153 },
    ];
    const [first, second, third] =
      specOf(await create(new Table(), "dns", { type: "NodePort", ports })).ports ?? [];
    assert.equal(first?.nodePort, second?.nodePort);
    assert.notEqual(first?.nodePort, third?.nodePort);
  });

  test("a number belongs to one Service whatever the protocol", async () => {
    const table = new Table();
    await create(table, "a", { type: "NodePort", ports: [{ port: 1, nodePort: 30_001 }] });
    const other = service("b", { type: "NodePort", ports: [{ port: 1, protocol: "UDP", nodePort: 30_001 }] });
    const { errors } = await write(SERVICE, other, { table });
    assert.deepEqual(errors, [
      "spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated",
    ]);
  });

  test("an update that leaves them out keeps them, by name; dropped ports are given back", async () => {
    const table = new Table();
    const ports = [
      { name: "a", port: 1 },
      { name: "b", port: 2 },
    ];
    const object = await create(table, "a", { type: "NodePort", ports });
    const before = specOf(object).ports?.map((port) => port.nodePort);
    const next = await update(table, object, { ports: [{ name: "b", port: 3 }] });
    assert.deepEqual(
      specOf(next).ports?.map((port) => port.nodePort),
      [before?.[1]],
    );
    assert.equal(table.keys.size, 2);
  });

  test("allocateLoadBalancerNodePorts false takes none, and respects what is asked for", async () => {
    const table = new Table();
    const spec = { type: "LoadBalancer", allocateLoadBalancerNodePorts: false };
    const ports = [
      { name: "a", port: 1 },
      { name: "b", port: 2, nodePort: 30_002 },
    ];
    const object = await create(table, "a", { ...spec, ports });
    assert.deepEqual(
      specOf(object).ports?.map((port) => port.nodePort),
      [undefined, 30_002],
    );
  });

  test("the health check port comes with LoadBalancer and Local, and goes with either", async () => {
    const table = new Table();
    const spec = { type: "LoadBalancer", externalTrafficPolicy: "Local", ports: PORTS };
    const object = await create(table, "a", spec);
    assert.ok((specOf(object).healthCheckNodePort ?? 0) >= 30_000);
    assert.equal(table.keys.size, 3);
    const cluster = await update(table, object, { externalTrafficPolicy: "Cluster" });
    assert.equal(specOf(cluster).healthCheckNodePort, undefined);
    assert.equal(table.keys.size, 2);
  });
});

test("law: after any sequence of writes exactly the keys of the living Services are held", async () => {
  const types = fc.constantFrom("ClusterIP", "NodePort", "LoadBalancer", "ExternalName");
  const step = fc.record({
    name: fc.constantFrom("a", "b", "c"),
    remove: fc.boolean(),
    type: types,
    local: fc.boolean(),
    dual: fc.constantFrom("SingleStack", "PreferDualStack"),
    ports: fc.uniqueArray(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 }),
    nodePort: fc.constantFrom(undefined, 30_001, 30_002),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
      const table = new Table();
      const living = new Map<string, ApiObject>();
      for (const { name, remove: goes, type, local, dual, ports, nodePort } of steps) {
        const old = living.get(name);
        if (goes) {
          if (old !== undefined) await remove(table, old);
          living.delete(name);
          continue;
        }
        const hasPorts = type === "NodePort" || type === "LoadBalancer";
        const spec: JsonObject = {
          type,
          ports: ports.map((port, index) => ({
            name: `p${port}`,
            port,
            ...(index === 0 && hasPorts && nodePort !== undefined ? { nodePort } : {}),
          })),
          ...(hasPorts && local ? { externalTrafficPolicy: "Local" } : {}),
          ...(type === "ExternalName" ? { externalName: "a.example" } : { ipFamilyPolicy: dual }),
        };
        const options = { table, settings: DUAL, ...(old === undefined ? {} : { old }) };
        const { object, errors } = await write(SERVICE, service(name, spec), options);
        if (errors.length === 0) living.set(name, object);
      }
      assert.deepEqual(keys(table), expectedKeys([...living.values()]));
    }),
    { numRuns: 150 },
  );
});

function expectedKeys(services: readonly ApiObject[]): string[] {
  const all = services.flatMap((object) => {
    const { clusterIPs = [], ports = [], healthCheckNodePort } = specOf(object);
    const numbers = [...ports.map((port) => port.nodePort), healthCheckNodePort].filter(
      (port) => port !== undefined,
    );
    return [
      ...clusterIPs.map((ip) => `/allocation/clusterip/${ip}`),
      ...numbers.map((port) => `/allocation/nodeport/${port}`),
    ];
  });
  assert.equal(new Set(all).size, all.length, "one number, two Services");
  return all.toSorted();
}

test("cost: few reads and no listing at 30,000 Services; a /24 can be filled to its last address", async () => {
  const table = new Table();
  const object = (index: number): ApiObject =>
    service(`s${index}`, { type: "ClusterIP", clusterIP: "", ports: [{ port: 80, protocol: "TCP" }] });
  for (let index = 0; index < 30_000; index++) {
    const context = table.context();
    assert.deepEqual(await allocateService(object(index), undefined, context), []);
    context.commit();
  }
  // Each allocation also reads the chosen key once more to claim it.
  assert.ok(table.reads / 30_000 < 2.2, `${table.reads / 30_000} reads each`);
  assert.equal(table.listings, 0);

  const small = new Table();
  for (let index = 0; index < 254; index++) {
    const context = small.context({ serviceCidrs: ["10.0.0.0/24"] });
    assert.deepEqual(await allocateService(object(index), undefined, context), []);
    context.commit();
  }
  assert.equal(small.keys.size, 254);
  assert.ok(small.listings < 254, `${small.listings} listings`);
});
