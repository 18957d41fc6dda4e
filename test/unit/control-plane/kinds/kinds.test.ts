/** Rules for all kinds, and what is refused in the smaller ones (upstream validation.go; facts: kubernetes-api-contract.md 1). */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { KINDS } from "../../../../src/control-plane/kinds/index.ts";
import type { ApiObject, JsonObject } from "../../../../src/control-plane/registry/json.ts";
import { type Kind, resourceOf } from "../../../../src/control-plane/registry/kind.ts";
import type { Message } from "../../../../src/control-plane/registry/schema.ts";
import { write } from "./hooks.ts";

/** Every message that a kind's schema reaches, by name. */
function messagesOf(root: Message, found = new Map<string, Set<Message>>()): Map<string, Set<Message>> {
  const same = found.get(root.name) ?? new Set();
  if (same.has(root)) return found;
  found.set(root.name, same.add(root));
  for (const { value } of Object.values(root.fields)) {
    const inner = value.type === "list" || value.type === "map" ? value.of : value;
    if (inner.type === "message") messagesOf(inner.message(), found);
  }
  return found;
}

test("in every message numbers are unique and positive, and a name means one message", () => {
  const all = new Map<string, Set<Message>>();
  for (const { schema } of KINDS) messagesOf(schema, all);
  for (const [name, same] of all) {
    assert.equal(same.size, 1, `${name} is declared twice`);
    for (const one of same) {
      const numbers = Object.values(one.fields).map(({ number }) => number);
      assert.equal(new Set(numbers).size, numbers.length, `${name}: a number is used twice`);
      assert.ok(numbers.every((number) => number > 0 && Number.isInteger(number)));
      assert.ok(
        Object.values(one.fields).every(({ description }) => description !== ""),
        name,
      );
    }
  }
  assert.ok(all.size > 100);
});

test("short names are unique, and ev belongs to the core kind (fact 1.1)", () => {
  const names = KINDS.flatMap(({ shortNames = [] }) => shortNames);
  assert.deepEqual(names.toSorted(), ["cm", "ep", "ev", "no", "ns", "po", "sa", "svc"]);
});

function kindOf(resource: string): Kind {
  const kind = KINDS.find((one) => resourceOf(one) === resource);
  assert.ok(kind, resource);
  return kind;
}

interface Row {
  readonly name: string;
  readonly resource: string;
  readonly object: JsonObject;
  /** The stored object: then it is an update. */
  readonly old?: JsonObject;
  readonly errors: readonly string[];
}

const SLICE = { addressType: "IPv4", endpoints: [{ addresses: ["10.0.0.1"] }], ports: [{ port: 80 }] };
const CONTAINER = { name: "c", image: "i" };
const IMMUTABLE = "field is immutable when `immutable` is set";
const ROWS: readonly Row[] = [
  {
    name: "Pod without containers",
    resource: "pods",
    object: { spec: {} },
    errors: ["spec.containers: Required value"],
  },
  {
    name: "Pod without image",
    resource: "pods",
    object: { spec: { containers: [{ name: "c" }] } },
    errors: ["spec.containers[0].image: Required value"],
  },
  {
    name: "mirror Pod without image",
    resource: "pods",
    object: {
      metadata: { annotations: { "kubernetes.io/config.mirror": "x" } },
      spec: { containers: [{ name: "c" }] },
    },
    errors: [],
  },
  {
    name: "container name twice",
    resource: "pods",
    object: { spec: { containers: [CONTAINER, CONTAINER] } },
    errors: ['spec.containers[1].name: Duplicate value: "c"'],
  },
  {
    name: "probe with two handlers",
    resource: "pods",
    object: {
      spec: {
        containers: [{ ...CONTAINER, readinessProbe: { exec: { command: ["a"] }, tcpSocket: { port: 1 } } }],
      },
    },
    errors: [
      "spec.containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
    ],
  },
  {
    name: "probe without handler",
    resource: "pods",
    object: { spec: { containers: [{ ...CONTAINER, livenessProbe: {} }] } },
    errors: ["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
  },
  {
    name: "liveness probe that needs two successes",
    resource: "pods",
    object: {
      spec: {
        containers: [{ ...CONTAINER, livenessProbe: { successThreshold: 2, tcpSocket: { port: 1 } } }],
      },
    },
    errors: ["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
  },
  {
    name: "host port that differs on the host network",
    resource: "pods",
    object: {
      spec: {
        hostNetwork: true,
        containers: [{ ...CONTAINER, ports: [{ containerPort: 80, hostPort: 81 }] }],
      },
    },
    errors: [
      "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true",
    ],
  },
  {
    name: "mount of a volume that is not there",
    resource: "pods",
    object: { spec: { containers: [{ ...CONTAINER, volumeMounts: [{ name: "v", mountPath: "/v" }] }] } },
    errors: ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
  },
  {
    name: "another node",
    resource: "pods",
    old: { spec: { nodeName: "a", containers: [CONTAINER] } },
    object: { spec: { nodeName: "b", containers: [CONTAINER] } },
    errors: [
      "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    ],
  },
  {
    name: "another image",
    resource: "pods",
    old: { spec: { containers: [{ ...CONTAINER, imagePullPolicy: "Always" }] } },
    object: { spec: { containers: [{ name: "c", image: "j", imagePullPolicy: "Always" }] } },
    errors: [],
  },
  {
    name: "Endpoints without addresses",
    resource: "endpoints",
    object: { subsets: [{ ports: [{ port: 1 }] }] },
    errors: ["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"],
  },
  {
    name: "Endpoints on loopback",
    resource: "endpoints",
    object: { subsets: [{ addresses: [{ ip: "127.0.0.1" }], ports: [{ port: 1 }] }] },
    errors: [
      'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    ],
  },
  {
    name: "Endpoints with bad port",
    resource: "endpoints",
    object: { subsets: [{ addresses: [{ ip: "10.0.0.1" }], ports: [{ port: 0 }] }] },
    errors: ["subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"],
  },
  {
    name: "slice without type",
    resource: "endpointslices.discovery.k8s.io",
    object: { ...SLICE, addressType: "" },
    errors: ["addressType: Required value"],
  },
  {
    name: "slice of the wrong family",
    resource: "endpointslices.discovery.k8s.io",
    object: { ...SLICE, addressType: "IPv6" },
    errors: ['endpoints[0].addresses[0]: Invalid value: "10.0.0.1": must be a valid IPv6 address'],
  },
  {
    name: "slice with one port name twice",
    resource: "endpointslices.discovery.k8s.io",
    object: { ...SLICE, ports: [{ port: 1 }, { port: 2 }] },
    errors: ['ports[1].name: Duplicate value: ""'],
  },
  {
    name: "slice with too many endpoints",
    resource: "endpointslices.discovery.k8s.io",
    object: { ...SLICE, endpoints: Array.from({ length: 1001 }, () => ({ addresses: ["10.0.0.1"] })) },
    errors: ["endpoints: Too many: 1001: must have at most 1000 items"],
  },
  {
    name: "slice that changes its type",
    resource: "endpointslices.discovery.k8s.io",
    old: SLICE,
    object: { ...SLICE, addressType: "FQDN", endpoints: [{ addresses: ["a.example"] }] },
    errors: ['addressType: Invalid value: "FQDN": field is immutable'],
  },
  {
    name: "bad key",
    resource: "configmaps",
    object: { data: { "a b": "" } },
    errors: [
      "data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
    ],
  },
  {
    name: "key in both maps",
    resource: "configmaps",
    object: { data: { a: "" }, binaryData: { a: "" } },
    errors: ['data[a]: Invalid value: "a": duplicate of key present in binaryData'],
  },
  {
    name: "immutable ConfigMap",
    resource: "configmaps",
    old: { immutable: true, data: { a: "1" } },
    object: { data: { a: "2" } },
    errors: [`immutable: Forbidden: ${IMMUTABLE}`, `data: Forbidden: ${IMMUTABLE}`],
  },
  {
    name: "TLS Secret without key",
    resource: "secrets",
    object: { type: "kubernetes.io/tls", data: { "tls.crt": "" } },
    errors: ["data[tls.key]: Required value"],
  },
  {
    name: "Secret of another type",
    resource: "secrets",
    old: { type: "Opaque" },
    object: { type: "a/b" },
    errors: ['type: Invalid value: "a/b": field is immutable'],
  },
  {
    name: "ServiceCIDR with host bits",
    resource: "servicecidrs.networking.k8s.io",
    object: { spec: { cidrs: ["10.0.0.1/24"] } },
    errors: ['spec.cidrs[0]: Invalid value: "10.0.0.1/24": must be in canonical form ("10.0.0.0/24")'],
  },
  {
    name: "ServiceCIDR that changes",
    resource: "servicecidrs.networking.k8s.io",
    old: { spec: { cidrs: ["10.0.0.0/24"] } },
    object: { spec: { cidrs: ["10.0.1.0/24"] } },
    errors: ['spec.cidrs: Invalid value: ["10.0.1.0/24"]: field is immutable'],
  },
  {
    name: "Node with another pod range",
    resource: "nodes",
    old: { spec: { podCIDR: "10.244.0.0/24", podCIDRs: ["10.244.0.0/24"] } },
    object: { spec: { podCIDR: "10.244.1.0/24" } },
    errors: ['spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'],
  },
  {
    name: "Node with an unknown taint effect",
    resource: "nodes",
    object: { spec: { taints: [{ key: "a", effect: "Never" }] } },
    errors: [
      'spec.taints[0].effect: Unsupported value: "Never": supported values: "NoExecute", "NoSchedule", "PreferNoSchedule"',
    ],
  },
  {
    name: "Lease that lasts no time",
    resource: "leases.coordination.k8s.io",
    object: { spec: { leaseDurationSeconds: 0 } },
    errors: ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
  },
  {
    name: "Event about another namespace",
    resource: "events",
    object: { involvedObject: { namespace: "other" } },
    errors: ['involvedObject.namespace: Invalid value: "other": does not match event.namespace'],
  },
];

function toObject(kind: Kind, fields: JsonObject): ApiObject {
  const metadata = { namespace: "default", name: "x", ...(fields["metadata"] as JsonObject | undefined) };
  return { apiVersion: "v1", kind: kind.kind, ...fields, metadata };
}

suite("checks", () => {
  for (const row of ROWS) {
    test(row.name, async () => {
      const kind = kindOf(row.resource);
      const old = row.old === undefined ? undefined : (await write(kind, toObject(kind, row.old))).object;
      const { errors } = await write(kind, toObject(kind, row.object), old === undefined ? {} : { old });
      assert.deepEqual(errors, row.errors);
    });
  }
});

test("stringData becomes data and is not kept", async () => {
  const kind = kindOf("secrets");
  const { object } = await write(kind, toObject(kind, { data: { a: "MQ==" }, stringData: { b: "zwei" } }));
  assert.deepEqual(object["data"], { a: "MQ==", b: "endlaQ==" });
  assert.equal(object["stringData"], undefined);
  assert.equal(object["type"], "Opaque");
});

test("events.k8s.io shows the stored Event under its own names, and back", () => {
  const kind = kindOf("events.events.k8s.io");
  const object = toObject(kind, { note: "n", regarding: { name: "a" }, deprecatedCount: 3, reason: "R" });
  const stored = kind.storedAs?.toStored(object);
  assert.deepEqual(stored?.["message"], "n");
  assert.deepEqual(stored?.["involvedObject"], { name: "a" });
  assert.equal(stored?.apiVersion, "v1");
  assert.ok(stored);
  assert.deepEqual(kind.storedAs?.fromStored(stored), { ...object, apiVersion: "events.k8s.io/v1" });
});

test("pod columns say what kubectl users expect (pkg/printers printPod)", () => {
  const kind = kindOf("pods");
  const cells = (status: JsonObject, metadata: JsonObject = {}): unknown[] => {
    const pod = toObject(kind, {
      metadata,
      spec: { containers: [CONTAINER, { ...CONTAINER, name: "d" }] },
      status,
    });
    return (kind.columns ?? [])
      .slice(1, 4)
      .map((column) => column.cell(pod, { nowMs: Date.parse("2026-01-01T00:10:00Z") }));
  };
  const running = { running: { startedAt: "2026-01-01T00:00:00Z" } };
  const restarted = { terminated: { exitCode: 1, finishedAt: "2026-01-01T00:05:00Z" } };
  assert.deepEqual(cells({ phase: "Pending" }), ["0/2", "Pending", "0"]);
  assert.deepEqual(
    cells({
      phase: "Running",
      containerStatuses: [
        { ready: true, restartCount: 3, state: running, lastState: restarted },
        { ready: false, restartCount: 0, state: { waiting: { reason: "CrashLoopBackOff" } } },
      ],
    }),
    ["1/2", "CrashLoopBackOff", "3 (5m ago)"],
  );
  assert.deepEqual(cells({ phase: "Failed", reason: "Evicted" }), ["0/2", "Evicted", "0"]);
  assert.deepEqual(cells({ phase: "Running" }, { deletionTimestamp: "2026-01-01T00:00:00Z" }), [
    "0/2",
    "Terminating",
    "0",
  ]);
});
