/** Layer control-plane. The namespaces that every cluster has. Made before anything else: the Lease lives in one. */
import type { ObjectClient } from "../../registry/client.ts";
import { createIfMissing } from "../framework/writes.ts";

export const SYSTEM_NAMESPACES = ["default", "kube-system", "kube-public", "kube-node-lease"] as const;

/** Harmless when they are there. */
export async function createSystemNamespaces(client: ObjectClient): Promise<void> {
  for (const name of SYSTEM_NAMESPACES) {
    if ((await client.get("namespaces", "", name)) !== undefined) continue;
    await createIfMissing(client, "namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  }
}
