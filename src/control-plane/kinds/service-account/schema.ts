/**
 * Layer control-plane. Schema of ServiceAccount.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { META } from "../../registry/meta-schema.ts";
import { bool, list, message } from "../../registry/schema.ts";
import { LOCAL_OBJECT_REFERENCE, OBJECT_REFERENCE } from "../common/references.ts";

export const SERVICE_ACCOUNT = message(
  "io.k8s.api.core.v1.ServiceAccount",
  "An identity for programs in Pods.",
  {
    metadata: META,
    secrets: list(2, OBJECT_REFERENCE, "Secrets that Pods of this account may use.", {
      mergeKey: "name",
      listType: "map",
      listMapKeys: ["name"],
    }),
    imagePullSecrets: list(3, LOCAL_OBJECT_REFERENCE, "Secrets for pulling images.", { listType: "atomic" }),
    automountServiceAccountToken: bool(4, "Whether Pods get a token.", { pointer: true }),
  },
);
