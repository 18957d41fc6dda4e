/**
 * Layer control-plane. Schema of Service.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { CONDITION, META } from "../../registry/meta-schema.ts";
import { bool, int32, intOrString, list, map, message, ref, string } from "../../registry/schema.ts";

const SERVICE_PORT = message("io.k8s.api.core.v1.ServicePort", "One port of a Service.", {
  name: string(1, "Name of the port, a DNS label; needed when there are several ports."),
  protocol: string(2, "Transport protocol.", { enum: ["TCP", "UDP", "SCTP"], default: "TCP" }),
  appProtocol: string(6, "Hint which application protocol is spoken.", { pointer: true }),
  port: int32(3, "Port number of the Service, 1 to 65535.", { required: true }),
  targetPort: intOrString(
    4,
    "Port of the endpoints: a number, or a name looked up in each Pod's container ports. The value of port if empty.",
  ),
  nodePort: int32(
    5,
    "Port on every node, for the types NodePort and LoadBalancer. Chosen by the server if empty.",
  ),
});

const CLIENT_IP_CONFIG = message("io.k8s.api.core.v1.ClientIPConfig", "Settings of ClientIP affinity.", {
  timeoutSeconds: int32(1, "Seconds that a client stays with its endpoint, 1 to 86400.", {
    pointer: true,
    default: 10800,
  }),
});

const SESSION_AFFINITY_CONFIG = message(
  "io.k8s.api.core.v1.SessionAffinityConfig",
  "Settings of session affinity.",
  {
    clientIP: ref(1, CLIENT_IP_CONFIG, "Settings of ClientIP affinity.", { pointer: true }),
  },
);

const SERVICE_SPEC = message("io.k8s.api.core.v1.ServiceSpec", "What a Service offers and to whom.", {
  ports: list(1, SERVICE_PORT, "Ports of the Service.", {
    mergeKey: "port",
    listType: "map",
    listMapKeys: ["port", "protocol"],
  }),
  selector: map(
    2,
    "string",
    "Labels of the Pods behind it. Without it, endpoints are made by hand or by others.",
  ),
  clusterIP: string(
    3,
    "Virtual address; chosen by the server if empty. None makes the Service headless. Cannot be changed.",
  ),
  clusterIPs: list(18, "string", "Virtual addresses, at most one a family; the first equals clusterIP.", {
    listType: "atomic",
  }),
  type: string(4, "How the Service is reached.", {
    enum: ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"],
    default: "ClusterIP",
  }),
  externalIPs: list(5, "string", "Further addresses, routed to the nodes by somebody else.", {
    listType: "atomic",
  }),
  sessionAffinity: string(7, "Whether a client stays with one endpoint.", {
    enum: ["ClientIP", "None"],
    default: "None",
  }),
  loadBalancerIP: string(8, "Address wished for from a load balancer. Deprecated."),
  loadBalancerSourceRanges: list(9, "string", "Ranges from which load balancer addresses may be used.", {
    listType: "atomic",
  }),
  externalName: string(10, "DNS name that the Service stands for, for type ExternalName."),
  externalTrafficPolicy: string(
    11,
    "Whether traffic from outside may go to other nodes (Cluster) or stays on the node and keeps its source address (Local).",
    { enum: ["Cluster", "Local"] },
  ),
  healthCheckNodePort: int32(
    12,
    "Port on every node where a load balancer asks whether the node has local endpoints.",
  ),
  publishNotReadyAddresses: bool(13, "Endpoints count as ready whatever their state, in DNS too."),
  sessionAffinityConfig: ref(14, SESSION_AFFINITY_CONFIG, "Settings of session affinity.", { pointer: true }),
  ipFamilies: list(19, "string", "Address families, in order of preference; the first cannot be changed.", {
    listType: "atomic",
  }),
  ipFamilyPolicy: string(17, "How many families.", {
    pointer: true,
    enum: ["SingleStack", "PreferDualStack", "RequireDualStack"],
  }),
  allocateLoadBalancerNodePorts: bool(20, "Whether a LoadBalancer Service gets node ports.", {
    pointer: true,
    default: true,
  }),
  loadBalancerClass: string(21, "Which load balancer implementation is meant.", { pointer: true }),
  internalTrafficPolicy: string(22, "Whether traffic from inside may go to other nodes.", {
    pointer: true,
    enum: ["Cluster", "Local"],
    default: "Cluster",
  }),
  trafficDistribution: string(23, "Which endpoints are preferred.", {
    pointer: true,
    enum: ["PreferClose", "PreferSameZone", "PreferSameNode"],
  }),
});

const PORT_STATUS = message("io.k8s.api.core.v1.PortStatus", "What became of one port at a load balancer.", {
  port: int32(1, "Port number.", { required: true }),
  protocol: string(2, "Transport protocol.", { required: true, enum: ["TCP", "UDP", "SCTP"] }),
  error: string(3, "Why it could not be set up.", { pointer: true }),
});

const LOAD_BALANCER_INGRESS = message(
  "io.k8s.api.core.v1.LoadBalancerIngress",
  "An entry point of a load balancer: an address or a name.",
  {
    ip: string(1, "Address."),
    hostname: string(2, "Name."),
    ipMode: string(
      3,
      "VIP: nodes handle the address themselves; Proxy: traffic must pass the load balancer.",
      { pointer: true, enum: ["VIP", "Proxy"] },
    ),
    ports: list(4, PORT_STATUS, "What became of the ports.", { listType: "atomic" }),
  },
);

const LOAD_BALANCER_STATUS = message(
  "io.k8s.api.core.v1.LoadBalancerStatus",
  "Entry points of a load balancer.",
  {
    ingress: list(1, LOAD_BALANCER_INGRESS, "The entry points.", { listType: "atomic" }),
  },
);

const SERVICE_STATUS = message("io.k8s.api.core.v1.ServiceStatus", "What is known of a Service.", {
  loadBalancer: ref(1, LOAD_BALANCER_STATUS, "Entry points of its load balancer."),
  conditions: list(2, CONDITION, "Observed aspects.", {
    mergeKey: "type",
    listType: "map",
    listMapKeys: ["type"],
  }),
});

export const SERVICE = message(
  "io.k8s.api.core.v1.Service",
  "A stable virtual address and name in front of changing endpoints.",
  {
    metadata: META,
    spec: ref(2, SERVICE_SPEC, "What it offers and to whom."),
    status: ref(3, SERVICE_STATUS, "What is known of it."),
  },
);
