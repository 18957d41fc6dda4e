/**
 * Layer agent. An Event (v1) as API JSON. Pure. kubectl describes a mirror Pod with the events whose `uid` is the
 * manifest's hash, and other objects with those that have their own uid.
 */
import type { ObjectKey } from "../../model/objects.ts";
import { type ApiObject, apiTime } from "../workloads/mirror-pod.ts";

export interface EventInput {
  readonly object: ObjectKey;
  readonly uid: string;
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
  readonly nodeName: string;
  readonly nowMs: number;
  /** Distinguishes events of one object and moment. */
  readonly sequence: number;
}

const MAX_MESSAGE = 1024;
const API_VERSION: Readonly<Partial<Record<ObjectKey["kind"], string>>> = {
  EndpointSlice: "discovery.k8s.io/v1",
  ServiceCIDR: "networking.k8s.io/v1",
};

export function eventObject(input: EventInput): ApiObject {
  const { object, nowMs, sequence, nodeName } = input;
  const suffix = `${(BigInt(nowMs) * 1000n + BigInt(sequence % 1000)).toString(16)}`;
  const time = apiTime(nowMs);
  return {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: `${object.name}.${suffix}`, namespace: object.namespace || "default" },
    involvedObject: {
      apiVersion: API_VERSION[object.kind] ?? "v1",
      kind: object.kind,
      ...(object.namespace === "" ? {} : { namespace: object.namespace }),
      name: object.name,
      ...(input.uid === "" ? {} : { uid: input.uid }),
    },
    type: input.type,
    reason: input.reason,
    message: input.message.slice(0, MAX_MESSAGE),
    source: { component: "nodeplane-agent", host: nodeName },
    reportingComponent: "nodeplane-agent",
    reportingInstance: nodeName,
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
  };
}
