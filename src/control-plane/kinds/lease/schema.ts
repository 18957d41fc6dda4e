/**
 * Layer control-plane. Schema of Lease of coordination.k8s.io/v1.
 * Numbers and pointers: generated.proto and types.go of k8s.io/api.
 */
import { META } from "../../registry/meta-schema.ts";
import { int32, message, microTime, ref, string } from "../../registry/schema.ts";

const LEASE_SPEC = message("io.k8s.api.coordination.v1.LeaseSpec", "Who holds the lease and until when.", {
  holderIdentity: string(1, "Who holds it.", { pointer: true }),
  leaseDurationSeconds: int32(2, "Seconds after renewTime during which nobody else may take it.", {
    pointer: true,
  }),
  acquireTime: microTime(3, "When the holder took it.", { pointer: true }),
  renewTime: microTime(4, "When the holder last renewed it.", { pointer: true }),
  leaseTransitions: int32(5, "How often it changed hands.", { pointer: true }),
  strategy: string(6, "How the holder is chosen in coordinated election.", { pointer: true }),
  preferredHolder: string(7, "Who should take it next.", { pointer: true }),
});

export const LEASE = message(
  "io.k8s.api.coordination.v1.Lease",
  "A sign of life and a right that one holds at a time.",
  {
    metadata: META,
    spec: ref(2, LEASE_SPEC, "Who holds it and until when."),
  },
);
