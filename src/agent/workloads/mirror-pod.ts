/**
 * Layer agent. The Pod object, as API JSON, that shows a workload in the API: the manifest's own metadata and spec, and the
 * status that its probes found. Pure; times come in, and a condition keeps the time of its last change.
 * Source: Kubernetes API v1 PodStatus; annotations as the kubelet's mirror pods have them.
 */
import type { IpAddress } from "../../model/ip.ts";
import type { Workload } from "./workload.ts";

/** Of a process that nobody started from an image: the API demands a text. */
const NO_IMAGE = "nodeplane.dev/already-running";

export type ApiObject = Readonly<Record<string, unknown>>;

/** When each condition last changed, by type. */
export type ConditionTimes = Map<string, { readonly status: boolean; readonly atMs: number }>;

export interface MirrorPodContext {
  readonly nodeName: string;
  readonly hostAddresses: readonly IpAddress[];
  readonly nowMs: number;
  /** Kept by the caller from call to call for one workload; updated here. */
  readonly times: ConditionTimes;
}

/** RFC 3339 in whole seconds, as the API writes times. */
export function apiTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

export function mirrorPod(workload: Workload, context: MirrorPodContext): ApiObject {
  const { manifest } = workload;
  const { labels, annotations, spec } = manifest.pod;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: manifest.name,
      namespace: manifest.namespace,
      labels,
      annotations: {
        ...annotations,
        "kubernetes.io/config.hash": workload.hash,
        "kubernetes.io/config.mirror": workload.hash,
        "kubernetes.io/config.source": "file",
      },
    },
    spec: { ...spec, nodeName: context.nodeName, containers: containersWithImages(spec["containers"]) },
    status: podStatus(workload, context),
  };
}

function containersWithImages(containers: unknown): readonly unknown[] {
  // parseManifest() accepted them: a list of maps.
  return (containers as readonly ApiObject[]).map((container) => ({ image: NO_IMAGE, ...container }));
}

function podStatus(workload: Workload, context: MirrorPodContext): ApiObject {
  const { isReady, isAlive, addresses, startedAtMs } = workload;
  const notReady = unreadyContainers(workload);
  const why = isReady
    ? {}
    : { reason: "ContainersNotReady", message: `containers with unready status: [${notReady}]` };
  const dead = isAlive ? {} : { reason: "LivenessProbeFailed", message: workload.lastDeath };
  const [hostIP] = context.hostAddresses;
  const [podIP] = addresses;
  return {
    phase: "Running",
    conditions: [
      condition("PodReadyToStartContainers", true, {}, context),
      condition("Initialized", true, {}, context),
      condition("Ready", isReady, why, context),
      condition("ContainersReady", isReady, why, context),
      condition("PodScheduled", true, {}, context),
      condition("nodeplane.dev/Alive", isAlive, dead, context),
    ],
    startTime: apiTime(startedAtMs),
    ...(hostIP === undefined ? {} : { hostIP, hostIPs: context.hostAddresses.map((ip) => ({ ip })) }),
    ...(podIP === undefined ? {} : { podIP, podIPs: addresses.map((ip) => ({ ip })) }),
    qosClass: "BestEffort",
    containerStatuses: containerStatuses(workload),
  };
}

function unreadyContainers(workload: Workload): string {
  return [...workload.containers]
    .filter(([, container]) => !container.isReady)
    .map(([name]) => name)
    .join(" ");
}

function condition(
  type: string,
  status: boolean,
  why: Readonly<{ reason?: string; message?: string }>,
  context: MirrorPodContext,
): ApiObject {
  const before = context.times.get(type);
  const atMs = before?.status === status ? before.atMs : context.nowMs;
  context.times.set(type, { status, atMs });
  return { type, status: status ? "True" : "False", lastTransitionTime: apiTime(atMs), ...why };
}

function containerStatuses(workload: Workload): readonly ApiObject[] {
  const specs = workload.manifest.pod.spec["containers"] as readonly ApiObject[];
  return specs.map((spec) => {
    const name = String(spec["name"]);
    const container = workload.containers.get(name);
    return {
      name,
      image: spec["image"] ?? NO_IMAGE,
      imageID: "",
      containerID: `nodeplane://${workload.hash}/${name}`,
      ready: container?.isReady ?? false,
      started: container?.isStarted ?? false,
      restartCount: workload.restarts,
      state: { running: { startedAt: apiTime(workload.startedAtMs) } },
      lastState: {},
    };
  });
}
