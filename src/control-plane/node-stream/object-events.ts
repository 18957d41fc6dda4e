/** Layer control-plane. Objects that nodes cannot use, as Events about these objects. */
import type { NodeRole } from "../../codec/stream/node-message.ts";
import type { ObjectKey, ObjectProblem } from "../../model/objects.ts";
import type { EventInput } from "../controllers/events/recorder.ts";
import type { ObjectClient } from "../registry/client.ts";

const API_VERSIONS: Readonly<Record<ObjectKey["kind"], string>> = {
  Service: "v1",
  EndpointSlice: "discovery.k8s.io/v1",
  Namespace: "v1",
  Node: "v1",
  ServiceCIDR: "networking.k8s.io/v1",
  Pod: "v1",
};

/** Resources of {@link ObjectClient}, by kind. */
const RESOURCES: Readonly<Record<ObjectKey["kind"], string>> = {
  Service: "services",
  EndpointSlice: "endpointslices.discovery.k8s.io",
  Namespace: "namespaces",
  Node: "nodes",
  ServiceCIDR: "servicecidrs.networking.k8s.io",
  Pod: "pods",
};

/** The event with the object's uid: `kubectl describe` shows only those. Without it when the object has gone. */
export async function withUid(event: EventInput, client: ObjectClient): Promise<EventInput> {
  const { kind, namespace, name } = event.about;
  const resource = RESOURCES[kind as ObjectKey["kind"]];
  const uid = (await client.get(resource, namespace, name))?.metadata.uid;
  return uid === undefined ? event : { ...event, about: { ...event.about, uid } };
}

/** A node refused an object. */
export function refusedEvent(node: string, role: NodeRole, problem: ObjectProblem): EventInput {
  return {
    ...eventOf(problem, role === "agent" ? "nodeplane-agent" : "nodeplane-dns"),
    message: `node ${node}: ${textOf(problem)}`,
    host: node,
  };
}

/** An object that cannot be given to any node, wholly or in part. */
export function unusableEvent(problem: ObjectProblem): EventInput {
  return { ...eventOf(problem, "nodeplane-control-plane"), message: textOf(problem) };
}

function eventOf(problem: ObjectProblem, component: string): Omit<EventInput, "message"> {
  const { kind, namespace, name } = problem.object;
  const about = { apiVersion: API_VERSIONS[kind], kind, namespace, name };
  return {
    about: problem.field === "" ? about : { ...about, fieldPath: problem.field },
    type: "Warning",
    reason: problem.reason,
    component,
  };
}

function textOf(problem: ObjectProblem): string {
  return problem.field === "" ? problem.message : `${problem.field}: ${problem.message}`;
}
