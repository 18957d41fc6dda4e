/** Layer lab. How the lab starts the real daemons: their arguments and files. Nothing here knows what they do inside. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { stringify } from "yaml";
import { CONTROL_PLANE, DNS_SERVICE, nodeAddresses, nodeIndex, POD_CIDR, SERVICE_CIDR } from "./addresses.ts";
import type { ApiObject } from "./api-client.ts";
import { NODEPLANE } from "./executable.ts";
import type { LabDir, LabRecord } from "./lab-dir.ts";
import { CONTROL_PLANE_NS } from "./names.ts";
import { run } from "./run.ts";
import { startService } from "./services.ts";

const STREAM = `${CONTROL_PLANE.v4}:6444`;

function ranges(record: LabRecord, range: { readonly v4: string; readonly v6: string }): string {
  return record.dualStack ? `${range.v4},${range.v6}` : range.v4;
}

/** Where the control plane keeps its store and keys. */
export function controlPlaneDir(lab: LabDir): string {
  return lab.folder("control-plane");
}

export async function startControlPlane(lab: LabDir, record: LabRecord): Promise<void> {
  const argv = [
    NODEPLANE,
    "control-plane",
    "--data-dir",
    controlPlaneDir(lab),
    "--advertise-address",
    CONTROL_PLANE.v4,
  ];
  argv.push("--service-cidr", ranges(record, SERVICE_CIDR), "--pod-cidr", ranges(record, POD_CIDR));
  // Shorter than the default, so that a person can watch a node fail; agents say more often that they live.
  argv.push("--node-monitor-grace-period", "10s");
  await startService(lab, record.mark, "control-plane", { namespace: CONTROL_PLANE_NS, argv });
}

/** Issues the node's certificate into its private /etc/nodeplane/pki. */
export async function issueCertificate(lab: LabDir, node: string): Promise<void> {
  const folder = lab.folder("ns", node, "nodeplane", "pki");
  await run([
    NODEPLANE,
    "certificate",
    "node",
    node,
    "--data-dir",
    controlPlaneDir(lab),
    "--out",
    folder,
    "--server",
    STREAM,
  ]);
}

const STREAM_FLAGS = [
  "--control-plane",
  STREAM,
  "--ca-file",
  "/etc/nodeplane/pki/ca.crt",
  "--certificate-file",
  "/etc/nodeplane/pki/node.crt",
  "--key-file",
  "/etc/nodeplane/pki/node.key",
];

/** The agent with everything else at its defaults: the node's own /etc/nodeplane and /run/nodeplane. */
export async function startAgent(lab: LabDir, record: LabRecord, node: string): Promise<void> {
  const config = {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    mode: record.mode,
    hostnameOverride: node,
    clusterCIDR: ranges(record, POD_CIDR),
  };
  const path = lab.writeText(stringify(config), "ns", node, "nodeplane", "agent.yaml");
  const address = nodeAddresses(nodeIndex(node));
  const nodeIp = record.dualStack ? `${address.v4},${address.v6}` : address.v4;
  const argv = [
    NODEPLANE,
    "agent",
    "--config",
    path,
    ...STREAM_FLAGS,
    "--node-ip",
    nodeIp,
    "--heartbeat-period",
    "2s",
    "--state-dir",
    lab.folder("state", node, "agent"),
  ];
  await startService(lab, record.mark, `${node}.agent`, { namespace: node, argv });
}

const COREFILE = `.:53 {
    errors
    health :8080 {
        lameduck 1s
    }
    ready :8181
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 5
    }
    prometheus :9153
    cache 5
}
`;

export async function startResolver(lab: LabDir, record: LabRecord, node: string): Promise<void> {
  const corefile = lab.writeText(COREFILE, "ns", node, "nodeplane", "Corefile");
  const argv = [
    NODEPLANE,
    "dns",
    "-conf",
    corefile,
    ...STREAM_FLAGS,
    "--state-dir",
    lab.folder("state", node, "dns"),
  ];
  await startService(lab, record.mark, `${node}.dns`, { namespace: node, argv });
}

/** The node's resolver as a hostNetwork workload: an ordinary endpoint of kube-system/kube-dns. */
export function writeResolverManifest(lab: LabDir, node: string): void {
  const timing = { periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 1, successThreshold: 1 };
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `dns-${node}`, namespace: "kube-system", labels: { "k8s-app": "kube-dns" } },
    spec: {
      hostNetwork: true,
      containers: [
        {
          name: "dns",
          image: "nodeplane.dev/dns",
          ports: [
            { name: "dns", containerPort: 53, protocol: "UDP" },
            { name: "dns-tcp", containerPort: 53, protocol: "TCP" },
            { name: "metrics", containerPort: 9153, protocol: "TCP" },
          ],
          readinessProbe: { httpGet: { path: "/ready", port: 8181 }, ...timing },
        },
      ],
    },
  };
  lab.writeText(stringify(pod), "ns", node, "nodeplane", "manifests", "dns.yaml");
}

/** The Service of the resolvers. */
export const DNS_SERVICE_OBJECT: ApiObject = {
  apiVersion: "v1",
  kind: "Service",
  metadata: {
    name: "kube-dns",
    namespace: "kube-system",
    labels: { "k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS" },
  },
  spec: {
    selector: { "k8s-app": "kube-dns" },
    clusterIP: DNS_SERVICE,
    ports: [
      { name: "dns", port: 53, targetPort: 53, protocol: "UDP" },
      { name: "dns-tcp", port: 53, targetPort: 53, protocol: "TCP" },
      { name: "metrics", port: 9153, targetPort: 9153, protocol: "TCP" },
    ],
  },
};

/** Copies the admin kubeconfig twice: for the machine's shell (through the relay) and for commands inside the lab. */
export function writeKubeconfigs(lab: LabDir, relayPort: number): void {
  const admin = readFileSync(`${controlPlaneDir(lab)}/admin.kubeconfig`, "utf8");
  const withServer = (server: string): string => admin.replace(/^(\s*(?:- )?server:).*$/m, `$1 ${server}`);
  mkdirSync(lab.path, { recursive: true });
  writeFileSync(lab.file("kubeconfig"), withServer(`https://127.0.0.1:${relayPort}`), { mode: 0o600 });
  writeFileSync(lab.file("kubeconfig-inside"), withServer(`https://${CONTROL_PLANE.v4}:6443`), {
    mode: 0o600,
  });
}
