/** What is refused in a new Service and in which words (facts: kubernetes-api-contract.md 2.1 and 2.2; upstream validation.go). */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { SERVICE } from "../../../../src/control-plane/kinds/service/kind.ts";
import type { JsonObject } from "../../../../src/control-plane/registry/json.ts";
import { type WriteOptions, write } from "./hooks.ts";
import { DUAL, PORTS, service } from "./service-objects.ts";

const ONLY_LB = "may only be used when `type` is 'LoadBalancer'";
const EXTERNAL_NAME = "may not be set for ExternalName services";

interface Row {
  readonly name: string;
  readonly spec: JsonObject;
  readonly annotations?: Record<string, string>;
  readonly settings?: NonNullable<WriteOptions["settings"]>;
  readonly errors: readonly string[];
}

const CREATE: readonly Row[] = [
  { name: "no ports", spec: {}, errors: ["spec.ports: Required value"] },
  { name: "no ports, headless", spec: { clusterIP: "None" }, errors: [] },
  {
    name: "unknown type",
    spec: { type: "X", ports: PORTS },
    errors: [
      'spec.type: Unsupported value: "X": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
    ],
  },
  {
    name: "port 0",
    spec: { ports: [{ port: 0, targetPort: 1 }] },
    errors: ["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"],
  },
  {
    name: "port 65536",
    spec: { ports: [{ port: 65_536, targetPort: 1 }] },
    errors: ["spec.ports[0].port: Invalid value: 65536: must be between 1 and 65535, inclusive"],
  },
  {
    name: "two ports without names",
    spec: { ports: [{ port: 1 }, { port: 2 }] },
    errors: ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
  },
  {
    name: "one name twice",
    spec: {
      ports: [
        { name: "a", port: 1 },
        { name: "a", port: 2 },
      ],
    },
    errors: ['spec.ports[1].name: Duplicate value: "a"'],
  },
  {
    name: "one port twice",
    spec: {
      ports: [
        { name: "a", port: 1 },
        { name: "b", port: 1 },
      ],
    },
    errors: ['spec.ports[1]: Duplicate value: {"protocol":"TCP","port":1}'],
  },
  {
    name: "one port, two protocols",
    spec: {
      ports: [
        { name: "a", port: 53 },
        { name: "b", port: 53, protocol: "UDP" },
      ],
    },
    errors: [],
  },
  {
    name: "unknown protocol",
    spec: { ports: [{ port: 1, protocol: "ICMP" }] },
    errors: ['spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"'],
  },
  {
    name: "target port name too long",
    spec: { ports: [{ port: 1, targetPort: "a-very-long-port-name" }] },
    errors: [
      'spec.ports[0].targetPort: Invalid value: "a-very-long-port-name": must be no more than 15 characters',
    ],
  },
  {
    name: "node port of a ClusterIP Service",
    spec: { ports: [{ port: 1, nodePort: 30_000 }] },
    errors: ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
  },
  {
    name: "node port out of range",
    spec: { type: "NodePort", ports: [{ port: 1, nodePort: 80 }] },
    errors: [
      "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767",
    ],
  },
  {
    name: "node port twice in one protocol",
    spec: {
      type: "NodePort",
      ports: [
        { name: "a", port: 1, nodePort: 30_001 },
        { name: "b", port: 2, nodePort: 30_001 },
      ],
    },
    errors: ["spec.ports[1].nodePort: Duplicate value: 30001"],
  },
  {
    name: "bad selector",
    spec: { ports: PORTS, selector: { a: "b c" } },
    errors: [
      "spec.selector: Invalid value: \"b c\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
    ],
  },
  {
    name: "affinity time out of range",
    spec: {
      ports: PORTS,
      sessionAffinity: "ClientIP",
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 86_401 } },
    },
    errors: [
      "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than 86400",
    ],
  },
  {
    name: "loopback as external IP",
    spec: { ports: PORTS, externalIPs: ["127.0.0.1"] },
    errors: [
      'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    ],
  },
  {
    name: "link-local as external IP",
    spec: { ports: PORTS, externalIPs: ["fe80::1"] },
    errors: [
      'spec.externalIPs[0]: Invalid value: "fe80::1": may not be in the link-local range (169.254.0.0/16, fe80::/10)',
    ],
  },
  { name: "no external name", spec: { type: "ExternalName" }, errors: ["spec.externalName: Required value"] },
  {
    name: "external name with a dot at its end",
    spec: { type: "ExternalName", externalName: "a.example." },
    errors: [],
  },
  {
    name: "external name with address and families",
    spec: {
      type: "ExternalName",
      externalName: "a.example",
      clusterIP: "10.96.0.5",
      ipFamilies: ["IPv4"],
      ipFamilyPolicy: "SingleStack",
    },
    errors: [
      `spec.clusterIPs: Forbidden: ${EXTERNAL_NAME}`,
      `spec.ipFamilies: Forbidden: ${EXTERNAL_NAME}`,
      `spec.ipFamilyPolicy: Forbidden: ${EXTERNAL_NAME}`,
    ],
  },
  {
    name: "traffic policy of an inner Service",
    spec: { ports: PORTS, externalTrafficPolicy: "Local" },
    errors: [
      'spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services',
    ],
  },
  {
    name: "traffic policy with external IPs",
    spec: { ports: PORTS, externalIPs: ["192.0.2.1"], externalTrafficPolicy: "Local" },
    errors: [],
  },
  {
    name: "health check port without need",
    spec: { type: "NodePort", ports: PORTS, healthCheckNodePort: 30_100 },
    errors: [
      "spec.healthCheckNodePort: Invalid value: 30100: may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
    ],
  },
  {
    name: "unknown inner policy",
    spec: { ports: PORTS, internalTrafficPolicy: "Near" },
    errors: ['spec.internalTrafficPolicy: Unsupported value: "Near": supported values: "Cluster", "Local"'],
  },
  {
    name: "unknown distribution",
    spec: { ports: PORTS, trafficDistribution: "Near" },
    errors: [
      'spec.trafficDistribution: Unsupported value: "Near": supported values: "PreferClose", "PreferSameNode", "PreferSameZone"',
    ],
  },
  {
    name: "load balancer fields elsewhere",
    spec: {
      ports: PORTS,
      allocateLoadBalancerNodePorts: true,
      loadBalancerClass: "a/b",
      loadBalancerSourceRanges: ["10.0.0.0/8"],
    },
    errors: [
      `spec.LoadBalancerSourceRanges: Forbidden: ${ONLY_LB}`,
      `spec.allocateLoadBalancerNodePorts: Forbidden: ${ONLY_LB}`,
      `spec.loadBalancerClass: Forbidden: ${ONLY_LB}`,
    ],
  },
  {
    name: "source ranges with blanks",
    spec: { type: "LoadBalancer", ports: PORTS, loadBalancerSourceRanges: [" 10.0.0.0/8 "] },
    errors: [],
  },
  {
    name: "bad source range",
    spec: { type: "LoadBalancer", ports: PORTS, loadBalancerSourceRanges: ["10.0.0.0"] },
    errors: [
      'spec.LoadBalancerSourceRanges[0]: Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
    ],
  },
  {
    name: "annotations that disagree",
    spec: { ports: PORTS },
    annotations: {
      "service.kubernetes.io/topology-mode": "Auto",
      "service.kubernetes.io/topology-aware-hints": "Disabled",
    },
    errors: [
      'metadata.annotations[service.kubernetes.io/topology-mode]: Invalid value: "Auto": must match annotations[service.kubernetes.io/topology-aware-hints] when both are specified',
    ],
  },
  {
    name: "headless NodePort",
    spec: { type: "NodePort", clusterIP: "None", ports: PORTS },
    errors: ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
  },
  {
    name: "clusterIPs alone",
    spec: { ports: PORTS, clusterIPs: ["10.96.0.5"] },
    errors: [
      'spec.clusterIPs: Invalid value: ["10.96.0.5"]: must be empty when `clusterIP` is not specified',
    ],
  },
  {
    name: "clusterIP and clusterIPs differ",
    spec: { ports: PORTS, clusterIP: "10.96.0.6", clusterIPs: ["10.96.0.5"] },
    errors: ['spec.clusterIPs: Invalid value: ["10.96.0.5"]: first value must match `clusterIP`'],
  },
  {
    name: "three addresses",
    spec: { ports: PORTS, clusterIP: "10.96.0.5", clusterIPs: ["10.96.0.5", "fd00::1", "10.96.0.6"] },
    errors: [
      'spec.clusterIPs: Invalid value: ["10.96.0.5","fd00::1","10.96.0.6"]: may only hold up to 2 values',
      'spec.clusterIPs: Invalid value: ["10.96.0.5","fd00::1","10.96.0.6"]: may specify no more than one IP for each IP family',
    ],
  },
  {
    name: "None and an address",
    spec: { ports: PORTS, clusterIP: "None", clusterIPs: ["None", "10.96.0.5"] },
    errors: [`spec.clusterIPs: Invalid value: ["None","10.96.0.5"]: 'None' must be the first and only value`],
  },
  {
    name: "address of another family than asked",
    spec: { ports: PORTS, clusterIP: "fd00::1", ipFamilies: ["IPv4"] },
    errors: [
      'spec.clusterIPs[0]: Invalid value: "fd00::1": expected an IPv4 value as indicated by `ipFamilies[0]`',
    ],
  },
  {
    name: "family that the cluster lacks",
    spec: { ports: PORTS, ipFamilies: ["IPv6"] },
    errors: ['spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'],
  },
  {
    name: "address of a family that the cluster lacks",
    spec: { ports: PORTS, clusterIP: "fd00::1" },
    errors: ['spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster'],
  },
  {
    name: "dual stack demanded on a single-stack cluster",
    spec: { ports: PORTS, ipFamilyPolicy: "RequireDualStack" },
    errors: [
      'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services',
    ],
  },
  {
    name: "two families with SingleStack",
    settings: DUAL,
    spec: { ports: PORTS, ipFamilyPolicy: "SingleStack", ipFamilies: ["IPv4", "IPv6"] },
    errors: [
      "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
    ],
  },
  {
    name: "address outside the range",
    spec: { ports: PORTS, clusterIP: "10.0.0.5" },
    errors: [
      'spec.clusterIPs: Invalid value: ["10.0.0.5"]: failed to allocate IP 10.0.0.5: the provided IP (10.0.0.5) is not in the valid range. The range of valid IPs is 10.96.0.0/12',
    ],
  },
  {
    name: "network address",
    spec: { ports: PORTS, clusterIP: "10.96.0.0" },
    errors: [
      'spec.clusterIPs: Invalid value: ["10.96.0.0"]: failed to allocate IP 10.96.0.0: the provided IP (10.96.0.0) is not in the valid range. The range of valid IPs is 10.96.0.0/12',
    ],
  },
];

suite("creating a Service", () => {
  for (const row of CREATE) {
    test(row.name, async () => {
      const options = row.settings === undefined ? {} : { settings: row.settings };
      const { errors } = await write(SERVICE, service(row.spec, row.annotations), options);
      assert.deepEqual(errors, row.errors);
    });
  }
});
