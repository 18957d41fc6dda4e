/** What must not change in a Service, and in which words that is told (facts: kubernetes-api-contract.md 2.1 and 2.2; upstream validation.go). */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { SERVICE } from "../../../../src/control-plane/kinds/service/kind.ts";
import type { JsonObject } from "../../../../src/control-plane/registry/json.ts";
import { type WriteOptions, write } from "./hooks.ts";
import { DUAL, PORTS, service } from "./service-objects.ts";

interface UpdateRow {
  readonly name: string;
  readonly from: JsonObject;
  /** Merged over the stored spec; `undefined` removes. */
  readonly change: JsonObject;
  readonly settings?: NonNullable<WriteOptions["settings"]>;
  readonly errors: readonly string[];
}

const LOCAL_LB = { type: "LoadBalancer", externalTrafficPolicy: "Local", ports: PORTS };
const UPDATE: readonly UpdateRow[] = [
  {
    name: "another address",
    from: { ports: PORTS, clusterIP: "10.96.0.5" },
    change: { clusterIP: "10.96.0.6" },
    errors: ['spec.clusterIPs[0]: Invalid value: ["10.96.0.6"]: may not change once set'],
  },
  {
    name: "an address becomes None",
    from: { ports: PORTS, clusterIP: "10.96.0.5" },
    change: { clusterIP: "None" },
    errors: ['spec.clusterIPs[0]: Invalid value: ["None"]: may not change once set'],
  },
  {
    name: "address left out",
    from: { ports: PORTS, clusterIP: "10.96.0.5" },
    change: { clusterIP: undefined, clusterIPs: undefined },
    errors: [],
  },
  {
    name: "first family changed",
    settings: DUAL,
    from: { ports: PORTS, clusterIP: "10.96.0.5" },
    change: { ipFamilies: ["IPv6"] },
    errors: [
      'spec.ipFamilies[0]: Invalid value: ["IPv6"]: may not change once set',
      'spec.clusterIPs[0]: Invalid value: "10.96.0.5": expected an IPv6 value as indicated by `ipFamilies[0]`',
    ],
  },
  {
    name: "second address given up without saying so",
    settings: DUAL,
    from: { ports: PORTS, ipFamilyPolicy: "RequireDualStack", clusterIP: "10.96.0.5" },
    change: { clusterIPs: ["10.96.0.5"], ipFamilies: ["IPv4"] },
    errors: [
      "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be set to 'SingleStack' when releasing the secondary clusterIP",
      "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be set to 'SingleStack' when releasing the secondary ipFamily",
    ],
  },
  {
    name: "second address given up by policy",
    settings: DUAL,
    from: { ports: PORTS, ipFamilyPolicy: "RequireDualStack" },
    change: { ipFamilyPolicy: "SingleStack" },
    errors: [],
  },
  {
    name: "health check port changed",
    from: { ...LOCAL_LB, healthCheckNodePort: 30_100 },
    change: { healthCheckNodePort: 30_101 },
    errors: ["spec.healthCheckNodePort: Forbidden: field is immutable"],
  },
  {
    name: "load balancer class changed",
    from: { type: "LoadBalancer", ports: PORTS, loadBalancerClass: "a/b" },
    change: { loadBalancerClass: "a/c" },
    errors: ['spec.loadBalancerClass: Invalid value: "a/c": may not change once set'],
  },
];

suite("updating a Service", () => {
  for (const row of UPDATE) {
    test(row.name, async () => {
      const settings = row.settings === undefined ? {} : { settings: row.settings };
      const created = await write(SERVICE, service(row.from), settings);
      assert.deepEqual(created.errors, []);
      const next = structuredClone(created.object);
      next["spec"] = { ...(next["spec"] as JsonObject), ...row.change };
      const { errors } = await write(SERVICE, next, { ...settings, old: created.object });
      assert.deepEqual([...errors].toSorted(), row.errors.toSorted());
    });
  }
});
