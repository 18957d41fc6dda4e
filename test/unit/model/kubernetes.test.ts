/** What the parsers of API JSON keep, default and refuse. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { parseKubernetesObject } from "../../../src/model/kubernetes/parse-object.ts";

const service = (spec: object, rest: object = {}) => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "ns" },
  spec,
  ...rest,
});
const slice = (rest: object, metadata: object = {}) => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name: "web-1", namespace: "ns", labels: { "kubernetes.io/service-name": "web" }, ...metadata },
  addressType: "IPv4",
  ports: [{ port: 80 }],
  ...rest,
});
const fields = (value: unknown) => parseKubernetesObject(value).problems.map((p) => `${p.reason} ${p.field}`);
const first = (value: unknown) => parseKubernetesObject(value).objects[0];

suite("defaults", () => {
  test("a Service has the API's defaults", () => {
    const object = first(service({ clusterIP: "10.96.0.1", ports: [{ port: 80 }] }));
    assert.deepEqual(object, {
      kind: "Service",
      meta: { namespace: "ns", name: "web", uid: "", creationTimestampMs: 0, labels: {}, annotations: {} },
      type: "ClusterIP",
      headless: false,
      clusterIPs: ["10.96.0.1"],
      externalIPs: [],
      loadBalancerIngress: [],
      loadBalancerSourceRanges: [],
      ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 0 }],
      internalTrafficPolicy: "Cluster",
      externalTrafficPolicy: "Cluster",
      healthCheckNodePort: 0,
      sessionAffinity: "None",
      affinityTimeoutSeconds: 10800,
      publishNotReadyAddresses: false,
    });
  });
  test("nil conditions mean ready, serving, not terminating", () => {
    const object = first(
      slice({
        endpoints: [
          { addresses: ["10.0.0.1"] },
          { addresses: ["10.0.0.2"], conditions: { ready: false, serving: null } },
        ],
      }),
    );
    assert.ok(object?.kind === "EndpointSlice");
    assert.deepEqual(
      object.endpoints.map((e) => [e.ready, e.serving, e.terminating]),
      [
        [true, true, false],
        [false, true, false],
      ],
    );
  });
  test("a namespaced object without namespace is in default; a cluster-scoped one has none", () => {
    assert.equal(
      first({ apiVersion: "v1", kind: "Pod", metadata: { name: "p" } })?.meta.namespace,
      "default",
    );
    assert.equal(
      first({ apiVersion: "v1", kind: "Node", metadata: { name: "n", namespace: "x" } })?.meta.namespace,
      "",
    );
  });
  test("headless is told by clusterIP or clusterIPs None", () => {
    for (const spec of [{ clusterIP: "None" }, { clusterIPs: ["None"] }]) {
      const object = first(service(spec));
      assert.ok(object?.kind === "Service" && object.headless && object.clusterIPs.length === 0);
    }
  });
});

suite("what is kept", () => {
  test("blanks in source ranges are trimmed, addresses are canonical", () => {
    const object = first(
      service({
        loadBalancerSourceRanges: [" 203.0.113.0/25", "2600:5200::/64 "],
        externalIPs: ["2001:DB8:0::1"],
      }),
    );
    assert.ok(object?.kind === "Service");
    assert.deepEqual(object.loadBalancerSourceRanges, [
      { address: "203.0.113.0", prefixBits: 25 },
      { address: "2600:5200::", prefixBits: 64 },
    ]);
    assert.deepEqual(object.externalIPs, ["2001:db8::1"]);
  });
  test("weights come from the annotation; wrong ones are reported and count as not given", () => {
    const annotations = {
      "nodeplane.dev/endpoint-weights": '{"10.0.0.1": 3, "10.0.0.2": 257, "x": 1}',
      other: "y",
    };
    const parsed = parseKubernetesObject(
      slice({ endpoints: [{ addresses: ["10.0.0.1"] }, { addresses: ["10.0.0.2"] }] }, { annotations }),
    );
    const object = parsed.objects[0];
    assert.ok(object?.kind === "EndpointSlice");
    assert.deepEqual(
      object.endpoints.map((e) => e.weight),
      [3, undefined],
    );
    assert.deepEqual(Object.keys(object.meta.annotations), ["nodeplane.dev/endpoint-weights"]);
    assert.deepEqual(
      parsed.problems.map((p) => p.reason),
      ["InvalidWeights", "InvalidWeights"],
    );
  });
  test("legacy Endpoints become one slice a subset and family", () => {
    const parsed = parseKubernetesObject({
      apiVersion: "v1",
      kind: "Endpoints",
      metadata: { name: "web", namespace: "ns" },
      subsets: [
        {
          addresses: [{ ip: "10.0.0.1" }, { ip: "fd00::1" }],
          notReadyAddresses: [{ ip: "10.0.0.2" }],
          ports: [{ port: 80 }],
        },
      ],
    });
    assert.deepEqual(
      parsed.objects.map((o) =>
        o.kind === "EndpointSlice"
          ? [o.meta.name, o.serviceName, o.endpoints.map((e) => [e.addresses[0], e.ready])]
          : [],
      ),
      [
        [
          "web.endpoints.0.ipv4",
          "web",
          [
            ["10.0.0.1", true],
            ["10.0.0.2", false],
          ],
        ],
        ["web.endpoints.0.ipv6", "web", [["fd00::1", true]]],
      ],
    );
  });
});

suite("what is refused, with its path", () => {
  const rows: readonly (readonly [string, unknown, readonly string[], number])[] = [
    [
      "port out of range",
      service({ ports: [{ port: 70000 }, { port: 80, name: "b" }] }),
      ["InvalidValue spec.ports[0].port"],
      1,
    ],
    [
      "a port whose name would end a comment of iptables-restore",
      service({
        ports: [
          { port: 80, name: 'a" -j ACCEPT\n-A INPUT -j DROP' },
          { port: 81, name: "b" },
        ],
      }),
      ["InvalidValue spec.ports[0].name"],
      1,
    ],
    [
      "a slice's port of such a name: not a port without a name",
      slice({ ports: [{ port: 80, name: "a b" }] }),
      ["InvalidValue ports[0].name"],
      1,
    ],
    ["port missing", service({ ports: [{}] }), ["MissingPort spec.ports[0].port"], 1],
    [
      "two ports of one name",
      service({ ports: [{ port: 1 }, { port: 2 }] }),
      ["DuplicatePort spec.ports[1].name"],
      1,
    ],
    ["unknown type", service({ type: "Cluster" }), ["UnsupportedValue spec.type"], 0],
    [
      "unknown policy",
      service({ externalTrafficPolicy: "Locale" }),
      ["UnsupportedValue spec.externalTrafficPolicy"],
      0,
    ],
    ["bad address", service({ clusterIP: "10.96.0.256" }), ["InvalidAddress spec.clusterIP"], 1],
    [
      "two addresses of a family",
      service({ clusterIPs: ["10.0.0.1", "10.0.0.2"] }),
      ["DuplicateFamily spec.clusterIPs[1]"],
      1,
    ],
    ["ports not a list", service({ ports: { port: 80 } }), ["InvalidValue spec.ports"], 1],
    [
      "ExternalName without a name",
      service({ type: "ExternalName" }),
      ["MissingExternalName spec.externalName"],
      0,
    ],
    [
      "slice without Service",
      slice({}, { labels: {} }),
      ["MissingServiceName metadata.labels[kubernetes.io/service-name]"],
      0,
    ],
    ["FQDN slice", slice({ addressType: "FQDN" }), ["UnsupportedAddressType addressType"], 0],
    [
      "endpoint of the other family",
      slice({ endpoints: [{ addresses: ["fd00::1"] }] }),
      ["WrongFamily endpoints[0].addresses"],
      1,
    ],
    ["slice port missing", slice({ ports: [{ name: "a" }] }), ["InvalidValue ports[0].port"], 1],
    ["no name", { apiVersion: "v1", kind: "Service", metadata: {} }, ["InvalidObject metadata.name"], 0],
    [
      "bad name",
      { apiVersion: "v1", kind: "Service", metadata: { name: "a/b" } },
      ["InvalidObject metadata.name"],
      0,
    ],
    [
      "unknown kind",
      { apiVersion: "v1", kind: "Servize", metadata: { name: "a" } },
      ["InvalidObject kind"],
      0,
    ],
    [
      "kind of Object.prototype",
      { apiVersion: "v1", kind: "constructor", metadata: { name: "a" } },
      ["InvalidObject kind"],
      0,
    ],
    ["wrong apiVersion", { ...service({}), apiVersion: "v2" }, ["InvalidObject apiVersion"], 0],
    ["not a mapping", [], ["InvalidObject "], 0],
  ];
  for (const [name, value, problems, objects] of rows)
    test(name, () => {
      assert.deepEqual(fields(value), problems);
      assert.equal(parseKubernetesObject(value).objects.length, objects);
    });

  test("source ranges of which none is good close the load balancer instead of opening it", () => {
    const parsed = parseKubernetesObject(
      service(
        { loadBalancerSourceRanges: ["nonsense"] },
        { status: { loadBalancer: { ingress: [{ ip: "5.5.5.5" }] } } },
      ),
    );
    const object = parsed.objects[0];
    assert.ok(object?.kind === "Service");
    assert.deepEqual(object.loadBalancerIngress, []);
    assert.deepEqual(
      parsed.problems.map((p) => p.reason),
      ["InvalidRange", "NoUsableRange"],
    );
  });
  test("problems of one object are bounded", () => {
    const endpoints = Array.from({ length: 500 }, () => ({ addresses: ["bad"] }));
    const { problems } = parseKubernetesObject(slice({ endpoints }));
    assert.equal(problems.length, 21);
    assert.match(problems[20]?.message ?? "", /^480 more/);
  });
});

test("no value makes the parser throw", () => {
  const kinds = fc.constantFrom(
    "Service",
    "EndpointSlice",
    "Endpoints",
    "Namespace",
    "Node",
    "ServiceCIDR",
    "Pod",
  );
  const versions = fc.constantFrom("v1", "discovery.k8s.io/v1", "networking.k8s.io/v1");
  const shape = fc.record({
    kind: kinds,
    apiVersion: versions,
    metadata: fc.record({ name: fc.constant("a"), labels: fc.anything(), annotations: fc.anything() }),
    spec: fc.oneof(fc.anything(), fc.record({ ports: fc.anything(), clusterIPs: fc.anything() })),
    status: fc.oneof(fc.anything(), fc.record({ podIPs: fc.anything(), addresses: fc.anything() })),
    endpoints: fc.array(fc.anything()),
    subsets: fc.array(fc.anything()),
    ports: fc.anything(),
    addressType: fc.constant("IPv4"),
  });
  fc.assert(
    fc.property(fc.oneof(fc.anything(), shape), (value) => {
      parseKubernetesObject(value);
    }),
    { numRuns: 300 },
  );
});
