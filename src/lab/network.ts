/** Layer lab. Makes the lab's namespaces and joins them: fabric, control plane, nodes, client. */
import { CLIENT, CONTROL_PLANE, DNS_SERVICE, nodeAddresses, nodeNames, resolvConf } from "./addresses.ts";
import type { LabDir, LabRecord } from "./lab-dir.ts";
import { CLIENT_NS, CONTROL_PLANE_NS, FABRIC_NS } from "./names.ts";
import { makeNamespace, type NamespaceRecord } from "./namespaces.ts";
import {
  clientLines,
  controlPlaneLines,
  externalRouteLines,
  fabricClientLines,
  fabricLines,
  fabricPortLines,
  ipBatch,
  nodeLines,
  quietSysctls,
  setSysctls,
} from "./topology.ts";

/** /etc/hosts of every namespace. */
export function hostsFile(record: LabRecord): string {
  const lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost", `${CONTROL_PLANE.v4} control-plane`];
  nodeNames(record.nodes).forEach((name, index) => {
    const address = nodeAddresses(index + 1);
    lines.push(`${address.v4} ${name}`, ...(record.dualStack ? [`${address.v6} ${name}`] : []));
  });
  lines.push(`${CLIENT.v4} client`);
  return `${lines.join("\n")}\n`;
}

/** Builds the whole network of a lab that has none yet. */
export async function buildNetwork(lab: LabDir, record: LabRecord): Promise<void> {
  const hosts = hostsFile(record);
  const inside = { hosts, resolvConf: resolvConf([DNS_SERVICE], "default") };
  // The client is no member of the cluster: it asks the nodes' resolvers at their own addresses.
  const outside = {
    hosts,
    resolvConf: resolvConf(
      nodeNames(Math.min(3, record.nodes)).map((_, i) => nodeAddresses(i + 1).v4),
      "default",
    ),
  };
  const make = (name: string): Promise<NamespaceRecord> =>
    makeNamespace(lab, record.mark, name, name === CLIENT_NS ? outside : inside);

  const fabric = await make(FABRIC_NS);
  await setSysctls(fabric, quietSysctls(true));
  await ipBatch(fabric, fabricLines(record.dualStack));
  const client = await make(CLIENT_NS);
  await setSysctls(client, quietSysctls(false));
  await ipBatch(fabric, fabricClientLines(client, record.dualStack));
  await ipBatch(client, clientLines(record.dualStack));
  const hostsOnBridge = [
    { name: CONTROL_PLANE_NS, device: "cp", lines: controlPlaneLines(record.dualStack) },
    ...nodeNames(record.nodes).map((name, index) => ({
      name,
      device: name,
      lines: nodeLines(index + 1, record.dualStack),
    })),
  ];
  await Promise.all(
    hostsOnBridge.map(async ({ name, device, lines }) => {
      const host = await make(name);
      await setSysctls(host, quietSysctls(false));
      await ipBatch(fabric, fabricPortLines(device, host));
      await ipBatch(host, lines);
    }),
  );
  await ipBatch(fabric, externalRouteLines(record.nodes, record.dualStack));
}
