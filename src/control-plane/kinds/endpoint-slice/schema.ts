/**
 * Layer control-plane. Schema of EndpointSlice of discovery.k8s.io/v1.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { META } from "../../registry/meta-schema.ts";
import { bool, int32, list, map, message, ref, string } from "../../registry/schema.ts";
import { OBJECT_REFERENCE } from "../common/references.ts";

const ENDPOINT_CONDITIONS = message(
  "io.k8s.api.discovery.v1.EndpointConditions",
  "State of one endpoint; absent counts as unknown.",
  {
    ready: bool(1, "Takes new connections: serving and not terminating, or publishNotReadyAddresses.", {
      pointer: true,
    }),
    serving: bool(2, "Its Pod is ready, terminating or not.", { pointer: true }),
    terminating: bool(3, "It is being deleted.", { pointer: true }),
  },
);

const FOR_ZONE = message("io.k8s.api.discovery.v1.ForZone", "A zone that should use the endpoint.", {
  name: string(1, "Name of the zone.", { required: true }),
});

const FOR_NODE = message("io.k8s.api.discovery.v1.ForNode", "A node that should use the endpoint.", {
  name: string(1, "Name of the node.", { required: true }),
});

const ENDPOINT_HINTS = message("io.k8s.api.discovery.v1.EndpointHints", "Who should use the endpoint.", {
  forZones: list(1, FOR_ZONE, "Zones that should use it.", { listType: "atomic" }),
  forNodes: list(2, FOR_NODE, "Nodes that should use it.", { listType: "atomic" }),
});

const ENDPOINT = message("io.k8s.api.discovery.v1.Endpoint", "One backend.", {
  addresses: list(1, "string", "Its addresses, of the slice's address type; consumers use the first.", {
    required: true,
    listType: "set",
  }),
  conditions: ref(2, ENDPOINT_CONDITIONS, "Its state."),
  hostname: string(3, "Host name of the endpoint.", { pointer: true }),
  targetRef: ref(4, OBJECT_REFERENCE, "The object behind it.", { pointer: true }),
  deprecatedTopology: map(5, "string", "Topology labels of the old API."),
  nodeName: string(6, "Node of the endpoint.", { pointer: true }),
  zone: string(7, "Zone of that node.", { pointer: true }),
  hints: ref(8, ENDPOINT_HINTS, "Who should use it.", { pointer: true }),
});

const SLICE_PORT = message("io.k8s.api.discovery.v1.EndpointPort", "One port of all endpoints of a slice.", {
  name: string(1, "Name of the Service's port; empty for the unnamed one.", { pointer: true }),
  protocol: string(2, "Transport protocol.", { pointer: true, enum: ["TCP", "UDP", "SCTP"], default: "TCP" }),
  port: int32(3, "Port number; absent means all ports.", { pointer: true }),
  appProtocol: string(4, "Hint which application protocol is spoken.", { pointer: true }),
});

export const ENDPOINT_SLICE = message(
  "io.k8s.api.discovery.v1.EndpointSlice",
  "A part of the endpoints of a Service.",
  {
    metadata: META,
    addressType: string(4, "Family of the addresses.", { required: true, enum: ["IPv4", "IPv6", "FQDN"] }),
    endpoints: list(2, ENDPOINT, "The endpoints, at most 1000.", { required: true, listType: "atomic" }),
    ports: list(3, SLICE_PORT, "Ports that every endpoint serves, at most 100.", { listType: "atomic" }),
  },
);
