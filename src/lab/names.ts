/** Layer lab. Names of things inside a lab's folder. Pure. */
export const FABRIC_NS = "fabric";
export const CONTROL_PLANE_NS = "control-plane";
export const CLIENT_NS = "client";

/** Namespace of a pod: pods of different Kubernetes namespaces may share a name. */
export function podNs(namespace: string, name: string): string {
  return `pod.${namespace}.${name}`;
}

const RESERVED = new Set([FABRIC_NS, CONTROL_PLANE_NS, CLIENT_NS]);

/** Names that `lab exec` would take for something else. */
export function isReservedName(name: string): boolean {
  return RESERVED.has(name) || /^node\d+$/.test(name);
}
