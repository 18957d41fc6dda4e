/**
 * Layer control-plane. Schema of Endpoints.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { META } from "../../registry/meta-schema.ts";
import { int32, list, message, ref, string } from "../../registry/schema.ts";
import { OBJECT_REFERENCE } from "../common/references.ts";

const ENDPOINT_ADDRESS = message("io.k8s.api.core.v1.EndpointAddress", "One address behind a Service.", {
  ip: string(1, "Address; not loopback, link-local or multicast.", { required: true }),
  hostname: string(3, "Host name of the endpoint."),
  nodeName: string(4, "Node of the endpoint.", { pointer: true }),
  targetRef: ref(2, OBJECT_REFERENCE, "The object behind the address.", { pointer: true }),
});

const ENDPOINT_PORT = message("io.k8s.api.core.v1.EndpointPort", "One port of a subset.", {
  name: string(1, "Name of the Service's port."),
  port: int32(2, "Port number.", { required: true }),
  protocol: string(3, "Transport protocol.", { enum: ["TCP", "UDP", "SCTP"], default: "TCP" }),
  appProtocol: string(4, "Hint which application protocol is spoken.", { pointer: true }),
});

const ENDPOINT_SUBSET = message("io.k8s.api.core.v1.EndpointSubset", "Addresses that share the same ports.", {
  addresses: list(1, ENDPOINT_ADDRESS, "Addresses that are ready.", { listType: "atomic" }),
  notReadyAddresses: list(2, ENDPOINT_ADDRESS, "Addresses that are not.", { listType: "atomic" }),
  ports: list(3, ENDPOINT_PORT, "Their ports.", { listType: "atomic" }),
});

export const ENDPOINTS = message(
  "io.k8s.api.core.v1.Endpoints",
  "The endpoints of the Service of the same name, in the old form. EndpointSlice has replaced it.",
  {
    metadata: META,
    subsets: list(2, ENDPOINT_SUBSET, "Addresses and ports.", { listType: "atomic" }),
  },
);
