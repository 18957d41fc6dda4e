/** Layer lab. What a pod needs of the API, and waiting for what the API says about it. */
import { ApiClient, at, listAt } from "./api-client.ts";
import type { LabDir, PodRecord } from "./lab-dir.ts";
import { podNs } from "./names.ts";
import { findService, requireAlive } from "./services.ts";

const READY_TIMEOUT_MS = 30_000;
const GONE_TIMEOUT_MS = 10_000;

/** True when the API object of a Pod has the condition Ready. */
export function isPodReady(pod: unknown): boolean {
  return listAt(pod, "status", "conditions").some(
    (entry) => at(entry, "type") === "Ready" && at(entry, "status") === "True",
  );
}

/** Waits until the Pod is in the API and ready. @throws {NodeplaneError} at once when its program has ended */
export async function waitPodReady(lab: LabDir, pod: PodRecord, signal?: AbortSignal): Promise<void> {
  const api = new ApiClient(lab.file("kubeconfig"));
  try {
    const path = `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}`;
    const program = podNs(pod.namespace, pod.name);
    const check = async (): Promise<true | undefined> =>
      findService(lab, program) === undefined || isPodReady(await api.get(path)) ? true : undefined;
    await api.waitFor(
      `pod ${pod.namespace}/${pod.name} to be ready (its agent's log: ${lab.file("log", `${pod.node}.agent.log`)})`,
      check,
      READY_TIMEOUT_MS,
      signal,
    );
    requireAlive(lab, program, `pod ${pod.namespace}/${pod.name}`);
  } finally {
    api.close();
  }
}

/** Waits until the Pod has left the API and no EndpointSlice of its namespace names its addresses. */
export async function waitPodGone(lab: LabDir, pod: PodRecord, signal?: AbortSignal): Promise<void> {
  const api = new ApiClient(lab.file("kubeconfig"));
  try {
    const check = async (): Promise<true | undefined> => {
      if ((await api.get(`/api/v1/namespaces/${pod.namespace}/pods/${pod.name}`)) !== undefined)
        return undefined;
      const slices = listAt(
        await api.get(`/apis/discovery.k8s.io/v1/namespaces/${pod.namespace}/endpointslices`),
        "items",
      );
      const addresses = slices.flatMap((slice) =>
        listAt(slice, "endpoints").flatMap((endpoint) => listAt(endpoint, "addresses")),
      );
      return pod.ips.some((ip) => addresses.includes(ip)) ? undefined : true;
    };
    await api.waitFor(
      `pod ${pod.namespace}/${pod.name} to leave its Services`,
      check,
      GONE_TIMEOUT_MS,
      signal,
    );
  } finally {
    api.close();
  }
}

/** Makes the pod's Kubernetes namespace when it is missing: a Pod cannot be reported into one that is not there. */
export async function ensureNamespace(lab: LabDir, name: string): Promise<void> {
  if (name === "default") return;
  const api = new ApiClient(lab.file("kubeconfig"));
  try {
    if ((await api.get(`/api/v1/namespaces/${name}`)) !== undefined) return;
    await api.apply("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name } });
  } finally {
    api.close();
  }
}
