/**
 * Layer agent. This node as a Node object in API JSON: what the agent reports of its machine. Pure.
 * Source: Kubernetes API v1 Node; well-known labels of the Kubernetes documentation.
 */
import type { IpAddress } from "../../model/ip.ts";
import { KUBERNETES_VERSION, VERSION } from "../../model/version.ts";
import { type ApiObject, apiTime } from "../workloads/mirror-pod.ts";
import type { MachineFacts } from "./machine-facts.ts";

const MAX_PODS = 110;

export interface NodeState {
  readonly isReady: boolean;
  /** Why it is not; empty when it is. */
  readonly message: string;
  /** Since when `isReady` has this value, milliseconds since the epoch. */
  readonly sinceMs: number;
  /** When this was last looked at. */
  readonly checkedAtMs: number;
}

export interface NodeObjectInput {
  readonly name: string;
  readonly facts: MachineFacts;
  /** The node's own, at most one a family, best first. */
  readonly addresses: readonly IpAddress[];
  readonly zone: string;
  /** As configured; they win over ours. */
  readonly labels: Readonly<Record<string, string>>;
  readonly state: NodeState;
}

export function nodeObject(input: NodeObjectInput): ApiObject {
  const { name, facts, addresses, state } = input;
  const resources = { cpu: String(facts.cpus), memory: `${facts.memoryKib}Ki`, pods: String(MAX_PODS) };
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: nodeLabels(input) },
    spec: {},
    status: {
      addresses: [
        ...addresses.map((address) => ({ type: "InternalIP", address })),
        { type: "Hostname", address: name },
      ],
      capacity: resources,
      allocatable: resources,
      conditions: [readyCondition(state)],
      nodeInfo: {
        machineID: facts.machineId,
        systemUUID: facts.systemUuid,
        bootID: facts.bootId,
        kernelVersion: facts.kernelVersion,
        osImage: facts.osImage,
        operatingSystem: "linux",
        architecture: facts.architecture,
        containerRuntimeVersion: `nodeplane://${VERSION}`,
        kubeletVersion: `v${KUBERNETES_VERSION.major}.${KUBERNETES_VERSION.minor}.${KUBERNETES_VERSION.patch}+nodeplane.${VERSION}`,
        kubeProxyVersion: "",
      },
    },
  };
}

function nodeLabels({ name, facts, zone, labels }: NodeObjectInput): Readonly<Record<string, string>> {
  return {
    "kubernetes.io/hostname": name,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": facts.architecture,
    ...(zone === "" ? {} : { "topology.kubernetes.io/zone": zone }),
    ...labels,
  };
}

function readyCondition(state: NodeState): ApiObject {
  const { isReady, message, sinceMs, checkedAtMs } = state;
  return {
    type: "Ready",
    status: isReady ? "True" : "False",
    reason: isReady ? "RulesProgrammed" : "RulesNotProgrammed",
    message: isReady ? "service rules are in the kernel" : message,
    lastHeartbeatTime: apiTime(checkedAtMs),
    lastTransitionTime: apiTime(sinceMs),
  };
}
