/** Layer lab. `lab status`: what is there and whether it lives. */
import { CLIENT, CONTROL_PLANE, nodeAddresses, nodeNames } from "./addresses.ts";
import type { LabDir, LabRecord } from "./lab-dir.ts";
import { CLIENT_NS, CONTROL_PLANE_NS, podNs } from "./names.ts";
import { findNamespace } from "./namespaces.ts";
import { listPods, podCidrsOf } from "./pods.ts";
import { findService, listServices } from "./services.ts";

function row(cells: readonly string[]): string {
  return `${cells
    .map((cell, index) => cell.padEnd([22, 10, 38][index] ?? 0))
    .join("  ")
    .trimEnd()}\n`;
}

function state(lab: LabDir, namespace: string, services: readonly string[]): string {
  if (findNamespace(lab, namespace) === undefined) return "gone";
  const dead = services.filter((name) => findService(lab, name) === undefined);
  return dead.length === 0 ? "up" : `${dead.map((name) => name.split(".").at(-1)).join(", ")} down`;
}

/** Namespaces and services that the lab should have and that are not alive. */
export function findDead(
  lab: LabDir,
  record: LabRecord,
): { readonly namespaces: readonly string[]; readonly services: readonly string[] } {
  const namespaces = ["fabric", CLIENT_NS, CONTROL_PLANE_NS, ...nodeNames(record.nodes)];
  return {
    namespaces: namespaces.filter((name) => findNamespace(lab, name) === undefined),
    services: listServices(lab).filter((name) => findService(lab, name) === undefined),
  };
}

/** Prints the table. @returns 0 when all is alive, 1 otherwise or without a lab */
export function labStatus(
  lab: LabDir,
  { out, err }: { readonly out: (text: string) => void; readonly err: (text: string) => void },
): number {
  const record = lab.record();
  if (record === undefined) {
    err(`there is no lab "${lab.name}"; 'nodeplane lab up --name ${lab.name}' starts one\n`);
    return 1;
  }
  const pair = (address: { v4: string; v6: string }): string =>
    record.dualStack ? `${address.v4}, ${address.v6}` : address.v4;
  out(`lab "${lab.name}": ${record.nodes} nodes, ${record.mode}${record.dualStack ? ", dual stack" : ""}\n`);
  out(row(["NAME", "STATE", "ADDRESS", "PODS"]));
  out(
    row([
      "control-plane",
      state(lab, CONTROL_PLANE_NS, ["control-plane", "relay-inside", "relay"]),
      pair(CONTROL_PLANE),
    ]),
  );
  nodeNames(record.nodes).forEach((name, index) => {
    const services = listServices(lab).filter((service) => service.startsWith(`${name}.`));
    out(
      row([
        name,
        state(lab, name, services),
        pair(nodeAddresses(index + 1)),
        podCidrsOf(lab, name).join(", "),
      ]),
    );
  });
  out(row(["client", state(lab, CLIENT_NS, []), pair(CLIENT)]));
  for (const pod of listPods(lab)) {
    const ns = podNs(pod.namespace, pod.name);
    out(row([`${pod.namespace}/${pod.name}`, state(lab, ns, [ns]), pod.ips.join(", "), `on ${pod.node}`]));
  }
  out(`kubeconfig: ${lab.file("kubeconfig")}\nlogs: ${lab.file("log")}\n`);
  const dead = findDead(lab, record);
  if (dead.namespaces.length === 0 && dead.services.length === 0) return 0;
  out(`'nodeplane lab up --name ${lab.name}' starts again what is down\n`);
  return 1;
}
