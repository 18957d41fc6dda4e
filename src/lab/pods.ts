/**
 * Layer lab. Pods: a namespace routed to its node, a program in it, and a manifest in the node's manifest folder, through which the
 * node's agent reports a Pod. Addresses come from the pod ranges that the control plane gave the node.
 */
import { rmSync } from "node:fs";
import { NodeplaneError } from "../model/errors.ts";
import { type IpAddress, ipFromBytes, ipToBytes, parseCidr } from "../model/ip.ts";
import { DNS_SERVICE, nodeIndex, nodeNames, resolvConf } from "./addresses.ts";
import { killNamespace } from "./down.ts";
import { NODEPLANE } from "./executable.ts";
import type { LabDir, LabRecord, PodRecord } from "./lab-dir.ts";
import { isReservedName, podNs } from "./names.ts";
import { makeNamespace, requireNamespace } from "./namespaces.ts";
import { hostsFile } from "./network.ts";
import { type PodPort, podManifest, type Readiness } from "./pod-manifest.ts";
import { startService, stopService } from "./services.ts";
import { ipBatch, podLines, podNodeLines, quietSysctls, setSysctls } from "./topology.ts";

export interface PodSpec {
  readonly name: string;
  readonly namespace: string;
  readonly node: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ports: readonly PodPort[];
  /** Empty: the built-in echo server. */
  readonly command: readonly string[];
  readonly readiness: Readiness;
}

const FIRST_HOST = 2; // 1 is the gateway's
const LAST_HOST = 254;
const DNS_LABEL = /^[a-z0-9]([-a-z0-9.]{0,60}[a-z0-9])?$/;

/** Address number `host` of a range. */
export function hostAddress(cidr: string, host: number): IpAddress {
  const range = parseCidr(cidr);
  const bytes = range === undefined ? undefined : ipToBytes(range.address);
  if (bytes === undefined) throw new NodeplaneError("CONFIG_INVALID", { object: "pod range", detail: cidr });
  const last = bytes.length - 1;
  bytes[last] = (bytes[last] ?? 0) + host;
  const address = ipFromBytes(bytes);
  if (address === undefined)
    throw new NodeplaneError("CONFIG_INVALID", { object: "pod range", detail: cidr });
  return address;
}

/** Pod ranges that the control plane gave `node`, IPv4 first. */
export function podCidrsOf(lab: LabDir, node: string): readonly string[] {
  return lab.read<{ podCidrs: readonly string[] }>("nodes", node)?.podCidrs ?? [];
}

/** All pods of the lab. */
export function listPods(lab: LabDir): readonly PodRecord[] {
  return lab.list("pods").flatMap((name) => lab.read<PodRecord>("pods", name) ?? []);
}

/** The pod `NAME` or `NAMESPACE/NAME`; a bare name must be the only one of that name. */
export function findPod(lab: LabDir, text: string): PodRecord | undefined {
  const [first = "", second] = text.split("/");
  const found = listPods(lab).filter((pod) =>
    second === undefined ? pod.name === first : pod.namespace === first && pod.name === second,
  );
  if (found.length > 1) {
    const names = found.map((pod) => `${pod.namespace}/${pod.name}`).join(", ");
    throw new NodeplaneError("CONFIG_INVALID", { object: `pod "${text}"`, detail: `say which: ${names}` });
  }
  return found[0];
}

/** @throws {NodeplaneError} CONFIG_INVALID for what cannot be, naming what is allowed */
export function checkPod(lab: LabDir, record: LabRecord, spec: PodSpec): void {
  const refuse = (object: string, detail: string): never => {
    throw new NodeplaneError("CONFIG_INVALID", { object, detail });
  };
  if (!DNS_LABEL.test(spec.name) || isReservedName(spec.name)) {
    refuse(
      `pod name "${spec.name}"`,
      "lower-case letters, digits, '-' and '.' are allowed; nodeN, client, control-plane and fabric are taken",
    );
  }
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(spec.namespace))
    refuse("--namespace", `"${spec.namespace}" is not a namespace name`);
  const index = nodeIndex(spec.node);
  if (index < 1 || index > record.nodes)
    refuse("--node", `"${spec.node}" is none of ${nodeNames(record.nodes).join(", ")}`);
  if (lab.read("pods", podNs(spec.namespace, spec.name)) !== undefined) {
    refuse(`pod "${spec.namespace}/${spec.name}"`, "it exists; 'nodeplane lab delete-pod' removes it");
  }
}

function freeHost(lab: LabDir, node: string): number {
  const taken = new Set(
    listPods(lab)
      .filter((pod) => pod.node === node)
      .map((pod) => pod.host),
  );
  for (let host = FIRST_HOST; host <= LAST_HOST; host++) if (!taken.has(host)) return host;
  throw new NodeplaneError("COMMAND_FAILED", {
    operation: `pod on ${node}`,
    detail: "its pod range is used up; delete a pod first",
  });
}

/** Starts a pod and registers it. @returns its record; the API shows it a moment later */
export async function startPod(lab: LabDir, record: LabRecord, spec: PodSpec): Promise<PodRecord> {
  const ns = podNs(spec.namespace, spec.name);
  const pod = await lab.locked(() => {
    checkPod(lab, record, spec);
    const host = freeHost(lab, spec.node);
    const ips = podCidrsOf(lab, spec.node).map((cidr) => hostAddress(cidr, host));
    const manifest = lab.file("ns", spec.node, "nodeplane", "manifests", `${ns}.yaml`);
    const entry: PodRecord = {
      name: spec.name,
      namespace: spec.namespace,
      node: spec.node,
      ips,
      host,
      manifest,
    };
    lab.write(entry, "pods", ns);
    return Promise.resolve(entry);
  });
  try {
    await connectPod(lab, record, pod);
    const echo = [NODEPLANE, "lab", "run-echo", spec.name, spec.node];
    await startService(lab, record.mark, ns, {
      namespace: ns,
      argv: spec.command.length === 0 ? echo : spec.command,
    });
    const netns = `/proc/${requireNamespace(lab, ns).holder.pid}/ns/net`;
    lab.writeText(podManifest(spec, pod.ips, netns), "ns", spec.node, "nodeplane", "manifests", `${ns}.yaml`);
    return pod;
  } catch (error) {
    await removePod(lab, pod);
    throw error;
  }
}

async function connectPod(lab: LabDir, record: LabRecord, pod: PodRecord): Promise<void> {
  const node = requireNamespace(lab, pod.node);
  const files = {
    hosts: `${hostsFile(record)}${pod.ips.map((ip) => `${ip} ${pod.name}\n`).join("")}`,
    resolvConf: resolvConf([DNS_SERVICE], pod.namespace),
  };
  const ns = await makeNamespace(lab, record.mark, podNs(pod.namespace, pod.name), files);
  await setSysctls(ns, quietSysctls(false));
  const gateways = podCidrsOf(lab, pod.node).map((cidr) => hostAddress(cidr, 1));
  const addresses = pod.ips.map((ip, index) => ({ pod: ip, gateway: gateways[index] ?? "" }));
  const link = { device: `pod${pod.host}`, nodeIndex: nodeIndex(pod.node), addresses };
  await ipBatch(node, podNodeLines(link, ns));
  await ipBatch(ns, podLines(link));
}

/** Takes the pod's manifest away, so that it leaves the slices; the pod itself goes on. */
export function withdrawPod(pod: PodRecord): void {
  rmSync(pod.manifest, { force: true });
}

/** Ends the pod's program and namespace and forgets it. */
export async function removePod(lab: LabDir, pod: PodRecord): Promise<void> {
  withdrawPod(pod);
  const ns = podNs(pod.namespace, pod.name);
  await stopService(lab, ns);
  await killNamespace(lab, ns);
  lab.forget("pods", ns);
}
