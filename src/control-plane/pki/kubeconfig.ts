/** Layer control-plane. A kubeconfig with everything in it: server, authority, client certificate and key. */
import { stringify } from "yaml";
import type { KeyPair } from "./certificate.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** @param server URL of the API, such as `https://192.0.2.1:6443` */
export function formatKubeconfig(server: string, authorityPem: string, client: KeyPair): string {
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      { name: "nodeplane", cluster: { server, "certificate-authority-data": base64(authorityPem) } },
    ],
    users: [
      {
        name: "admin",
        user: {
          "client-certificate-data": base64(client.certificatePem),
          "client-key-data": base64(client.keyPem),
        },
      },
    ],
    contexts: [{ name: "nodeplane", context: { cluster: "nodeplane", user: "admin" } }],
    "current-context": "nodeplane",
  });
}
