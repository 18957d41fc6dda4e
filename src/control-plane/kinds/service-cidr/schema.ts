/**
 * Layer control-plane. Schema of ServiceCIDR of networking.k8s.io/v1.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { CONDITION, META } from "../../registry/meta-schema.ts";
import { list, message, ref } from "../../registry/schema.ts";

const SERVICE_CIDR_SPEC = message(
  "io.k8s.api.networking.v1.ServiceCIDRSpec",
  "Ranges of Service addresses.",
  {
    cidrs: list(1, "string", "One range a family. Cannot be changed.", { listType: "atomic" }),
  },
);

const SERVICE_CIDR_STATUS = message(
  "io.k8s.api.networking.v1.ServiceCIDRStatus",
  "What is known of the ranges.",
  {
    conditions: list(1, CONDITION, "Observed aspects; Ready says that addresses may be taken.", {
      mergeKey: "type",
      listType: "map",
      listMapKeys: ["type"],
    }),
  },
);

export const SERVICE_CIDR = message(
  "io.k8s.api.networking.v1.ServiceCIDR",
  "Ranges from which Services get their addresses.",
  {
    metadata: META,
    spec: ref(2, SERVICE_CIDR_SPEC, "The ranges."),
    status: ref(3, SERVICE_CIDR_STATUS, "What is known of them."),
  },
);
