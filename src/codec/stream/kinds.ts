/** Layer codec. The numbers that stand for kinds, types and protocols in nodestream.proto. */
import type { ObjectKind, Pod, Protocol, Service } from "../../model/objects.ts";

/** Field of Object that holds the kind. */
export const OBJECT_FIELDS: Readonly<Record<ObjectKind, number>> = {
  Service: 2,
  EndpointSlice: 3,
  Namespace: 4,
  Node: 5,
  ServiceCIDR: 6,
  Pod: 7,
};

/** Kind by field of Object; what is newer than this version is not in it. */
export const KIND_BY_FIELD: ReadonlyMap<number, ObjectKind> = new Map(
  (Object.entries(OBJECT_FIELDS) as [ObjectKind, number][]).map(([kind, field]) => [field, kind]),
);

export function isObjectKind(text: string): text is ObjectKind {
  return Object.hasOwn(OBJECT_FIELDS, text);
}

/** By number. */
export const SERVICE_TYPES: readonly Service["type"][] = [
  "ClusterIP",
  "NodePort",
  "LoadBalancer",
  "ExternalName",
];
export const POD_PHASES: readonly Pod["phase"][] = ["Pending", "Running", "Succeeded", "Failed", "Unknown"];

export const PROTOCOL_NUMBERS: Readonly<Record<Protocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 };

/** `undefined` for a protocol that this version does not know. */
export function protocolOf(number: number): Protocol | undefined {
  if (number === 6) return "TCP";
  if (number === 17) return "UDP";
  return number === 132 ? "SCTP" : undefined;
}

/** Bits of Service.flags. */
export const SERVICE_FLAGS = {
  headless: 1,
  internalLocal: 2,
  externalLocal: 4,
  clientIpAffinity: 8,
  publishNotReady: 16,
} as const;

/** Bits of Endpoint.conditions. */
export const CONDITIONS = { ready: 1, serving: 2, terminating: 4 } as const;
