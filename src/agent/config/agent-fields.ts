/**
 * Layer agent. The fields of AgentConfiguration (`nodeplane.dev/v1alpha1`): what kube-proxy's configuration has no
 * place for. A second YAML document in the same file, or flags.
 */
import type { Field } from "./field.ts";
import { addresses, bool, duration, labels, oneOf, text } from "./field-types.ts";

const HOST_PORT = /^(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):\d{1,5}$/;

export const AGENT = {
  objects: {
    path: "objects",
    flag: "objects",
    type: text(),
    fallback: "",
    fallbackText: '""',
    note: "standalone: a file or folder of Services, EndpointSlices, Nodes, Pods … as YAML or JSON lines, followed as it changes",
  },
  controlPlaneAddress: {
    path: "controlPlane.address",
    flag: "control-plane",
    type: text(HOST_PORT, "HOST:PORT such as control.example:6444 or [fd00::1]:6444"),
    fallback: "",
    fallbackText: '""',
    note: "the node stream of a control plane",
  },
  caFile: {
    path: "controlPlane.caFile",
    flag: "ca-file",
    type: text(),
    fallback: "/etc/nodeplane/pki/ca.crt",
    fallbackText: "/etc/nodeplane/pki/ca.crt",
    note: "the authority that signed the control plane's certificate",
  },
  certificateFile: {
    path: "controlPlane.certificateFile",
    flag: "certificate-file",
    type: text(),
    fallback: "/etc/nodeplane/pki/node.crt",
    fallbackText: "/etc/nodeplane/pki/node.crt",
    note: "this node's certificate",
  },
  keyFile: {
    path: "controlPlane.keyFile",
    flag: "key-file",
    type: text(),
    fallback: "/etc/nodeplane/pki/node.key",
    fallbackText: "/etc/nodeplane/pki/node.key",
    note: "this node's private key",
  },
  stateDir: {
    path: "stateDir",
    flag: "state-dir",
    type: text(/^\//, "an absolute path"),
    fallback: "/var/lib/nodeplane/agent",
    fallbackText: "/var/lib/nodeplane/agent",
    note: "where the last known state is kept, so that a node boots without its control plane",
  },
  manifestDir: {
    path: "manifestDir",
    flag: "manifest-dir",
    type: text(/^\//, "an absolute path, or empty for none"),
    fallback: "/etc/nodeplane/manifests",
    fallbackText: "/etc/nodeplane/manifests",
    note: "Pod manifests of workloads that already run on this node; followed; empty turns workloads off",
  },
  statusSocket: {
    path: "statusSocket",
    flag: "status-socket",
    type: text(/^\/.{1,100}$/, "an absolute path of at most 101 characters, or empty for none"),
    fallback: "/run/nodeplane/agent.sock",
    fallbackText: "/run/nodeplane/agent.sock",
    note: "unix socket that `nodeplane status` asks; mode 0600",
  },
  registerNode: {
    path: "registerNode",
    flag: "register-node",
    type: bool,
    fallback: true,
    fallbackText: "true",
    note: "report a Node object, its lease and its workloads to the control plane",
  },
  nodeAddresses: {
    path: "nodeAddresses",
    flag: "node-ip",
    type: addresses,
    fallback: [],
    fallbackText: "[]",
    note: "InternalIPs of the Node; empty: one address a family, from the interface with the default route",
  },
  nodeLabels: {
    path: "nodeLabels",
    flag: "node-labels",
    type: labels,
    fallback: {},
    fallbackText: "{}",
    note: "labels of the Node, `key=value,…` as a flag",
  },
  zone: {
    path: "zone",
    flag: "zone",
    type: text(/^[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$/, "a label value"),
    fallback: "",
    fallbackText: '""',
    note: "value of the label `topology.kubernetes.io/zone`",
  },
  heartbeatPeriod: {
    path: "heartbeatPeriod",
    flag: "heartbeat-period",
    type: duration(100),
    fallback: 10_000,
    fallbackText: "10s",
    note: "how often the node's lease is renewed",
  },
  setPreconditions: {
    path: "setPreconditions",
    flag: "set-preconditions",
    type: bool,
    fallback: true,
    fallbackText: "true",
    note: "set forwarding and conntrack sysctls of this node; false: only report what is missing",
  },
  iptablesVariant: {
    path: "iptables.variant",
    flag: "iptables-variant",
    type: oneOf("auto", "legacy", "nft"),
    fallback: "auto",
    fallbackText: "auto",
    note: "iptables mode: which commands program the kernel; auto is what plain `iptables` is on this machine",
  },
  ipvsDrainLimit: {
    path: "ipvs.drainLimit",
    flag: "ipvs-drain-limit",
    type: duration(0),
    fallback: 86_400_000,
    fallbackText: "24h",
    note: "ipvs mode: how long a removed endpoint may keep its connections; 0 ends them at once",
  },
  resetVanishedTcp: {
    path: "conntrack.resetVanishedTcp",
    flag: "conntrack-reset-vanished-tcp",
    type: bool,
    fallback: false,
    fallbackText: "false",
    note: "end TCP connections through a Service whose endpoint is in no EndpointSlice any more, not even as terminating",
  },
  countConnections: {
    path: "countConnections",
    flag: "count-connections",
    type: bool,
    fallback: false,
    fallbackText: "false",
    note: "nftables and ipvs mode: count the new connections of each service port, for `nodeplane_service_connections_total` (a series a service port) and `nodeplane status`",
  },
  logLevel: {
    path: "logLevel",
    flag: "log-level",
    type: oneOf("debug", "info", "warn", "error"),
    fallback: "info",
    fallbackText: "info",
  },
} as const satisfies Readonly<Record<string, Field<unknown>>>;

export const AGENT_FIELDS: readonly Field<unknown>[] = Object.values(AGENT);
