/**
 * Layer control-plane. Schema of Secret.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { META } from "../../registry/meta-schema.ts";
import { bool, map, message, string } from "../../registry/schema.ts";

export const SECRET = message("io.k8s.api.core.v1.Secret", "Confidential values. Nodes cannot read them.", {
  metadata: META,
  immutable: bool(5, "Content cannot be changed any more.", { pointer: true }),
  data: map(2, "bytes", "Values, base64 in JSON."),
  stringData: map(4, "string", "Values as text, merged into data when written; never read back."),
  type: string(3, "What the Secret is for.", { default: "Opaque" }),
});
