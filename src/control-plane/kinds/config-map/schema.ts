/**
 * Layer control-plane. Schema of ConfigMap.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { META } from "../../registry/meta-schema.ts";
import { bool, map, message } from "../../registry/schema.ts";

export const CONFIG_MAP = message("io.k8s.api.core.v1.ConfigMap", "Settings as keys and values.", {
  metadata: META,
  immutable: bool(4, "Content cannot be changed any more.", { pointer: true }),
  data: map(2, "string", "Values that are text."),
  binaryData: map(3, "bytes", "Values that are bytes."),
});
