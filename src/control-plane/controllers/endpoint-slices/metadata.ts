/** Layer control-plane. Labels, annotations and owner of the slices of a Service. Pure. */

import type { IpAddress } from "../../../model/ip.ts";
import { WEIGHTS_ANNOTATION } from "../../../model/kubernetes/meta.ts";
import { serviceSpec } from "../../kinds/service/view.ts";
import type { ApiObject, ObjectMeta, OwnerReference } from "../../registry/json.ts";
import { TRIGGER_TIME_ANNOTATION } from "../common/trigger-time.ts";

export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
export const MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by";
export const HEADLESS_LABEL = "service.kubernetes.io/headless";
export const SLICE_CONTROLLER = "endpointslice-controller.k8s.io";
const RESERVED = new Set([SERVICE_NAME_LABEL, MANAGED_BY_LABEL, HEADLESS_LABEL]);

/** True when the Service has no virtual address. */
export function isWithoutAddress(service: ApiObject): boolean {
  const ip = serviceSpec(service).clusterIP ?? "";
  return ip === "" || ip === "None";
}

/** All labels of the Service, then the three that say what the slice is. */
export function sliceLabels(service: ApiObject): { [key: string]: string } {
  const copied = Object.entries(service.metadata.labels ?? {}).filter(([key]) => !RESERVED.has(key));
  return {
    ...Object.fromEntries(copied),
    [SERVICE_NAME_LABEL]: service.metadata.name ?? "",
    [MANAGED_BY_LABEL]: SLICE_CONTROLLER,
    ...(isWithoutAddress(service) ? { [HEADLESS_LABEL]: "" } : {}),
  };
}

export function ownerReference(service: ApiObject): OwnerReference {
  return {
    apiVersion: "v1",
    kind: "Service",
    name: service.metadata.name ?? "",
    uid: service.metadata.uid ?? "",
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** The weights of those addresses that are in the slice and weigh other than 1, as the annotation's text. */
export function weightsText(
  addresses: readonly string[],
  weights: ReadonlyMap<IpAddress, number>,
): string | undefined {
  const entries = addresses.toSorted().flatMap((address) => {
    const weight = weights.get(address as IpAddress);
    return weight === undefined ? [] : [[address, weight] as const];
  });
  return entries.length === 0 ? undefined : JSON.stringify(Object.fromEntries(entries));
}

/** Annotations of a slice that is written: others than the two of ours stay. */
export function sliceAnnotations(
  before: ObjectMeta["annotations"],
  weights: string | undefined,
  triggerTime: string | undefined,
): { [key: string]: string } {
  const annotations = { ...before };
  delete annotations[WEIGHTS_ANNOTATION];
  delete annotations[TRIGGER_TIME_ANNOTATION];
  if (weights !== undefined) annotations[WEIGHTS_ANNOTATION] = weights;
  if (triggerTime !== undefined) annotations[TRIGGER_TIME_ANNOTATION] = triggerTime;
  return annotations;
}
