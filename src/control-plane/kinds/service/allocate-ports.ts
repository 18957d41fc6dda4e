/** Layer control-plane. Node ports and the health check port of a Service, when it is created and when it changes. */
import type { NodePortAllocator } from "../../allocators/node-ports.ts";
import { internalError } from "../../registry/api-error.ts";
import { type FieldError, invalid } from "../../registry/field-error.ts";
import {
  hasNodePorts,
  needsHealthCheckPort,
  nodePortsOf,
  type ServicePort,
  type ServiceSpec,
  wantsNodePorts,
} from "./view.ts";

/** In place. Ports that the Service had and no longer has are given back. */
export async function allocateNodePorts(
  now: ServiceSpec,
  before: ServiceSpec | undefined,
  allocator: NodePortAllocator,
): Promise<readonly FieldError[]> {
  const had = before !== undefined && hasNodePorts(before) ? nodePortsOf(before) : [];
  if (hasNodePorts(now)) {
    const errors = await claimPorts(now, had, allocator);
    if (errors.length > 0) return errors;
  }
  const kept = hasNodePorts(now) ? nodePortsOf(now) : [];
  for (const port of had) if (!kept.includes(port)) await allocator.release(port);
  return [];
}

/**
 * Two ports with one number but different protocols (DNS over UDP and TCP) share a node port, when the Service is
 * created and nothing else is asked for.
 */
async function claimPorts(
  now: ServiceSpec,
  had: readonly number[],
  allocator: NodePortAllocator,
): Promise<readonly FieldError[]> {
  const ports = now.ports ?? [];
  for (const [index, port] of ports.entries()) {
    const asked = port.nodePort ?? 0;
    if (asked === 0 || had.includes(asked)) continue;
    const problem = await allocator.claim(asked);
    if (problem !== undefined) return [invalid(`spec.ports[${index}].nodePort`, asked, problem)];
  }
  if (!wantsNodePorts(now)) return [];
  for (const port of ports) {
    if ((port.nodePort ?? 0) !== 0) continue;
    const shared = sharedPort(ports, port);
    if (shared !== undefined) {
      port.nodePort = shared;
      continue;
    }
    const chosen = await allocator.next();
    if (chosen === undefined) throw internalError("failed to allocate a nodePort: range is full");
    port.nodePort = chosen;
  }
  return [];
}

/** Node port of a sibling with the same number, unless one of the same protocol has it already. */
function sharedPort(ports: readonly ServicePort[], port: ServicePort): number | undefined {
  const sibling = ports.find((other) => other.port === port.port && (other.nodePort ?? 0) !== 0);
  const number = sibling?.nodePort;
  const clash = ports.some((other) => other.protocol === port.protocol && other.nodePort === number);
  return clash ? undefined : number;
}

/** In place. The port is taken when the need arises and given back when it ends. */
export async function updateHealthCheckPort(
  now: ServiceSpec,
  before: ServiceSpec | undefined,
  allocator: NodePortAllocator,
): Promise<void> {
  const had = before !== undefined && needsHealthCheckPort(before) ? (before.healthCheckNodePort ?? 0) : 0;
  if (!needsHealthCheckPort(now)) {
    if (had !== 0) await allocator.release(had);
    return;
  }
  const asked = now.healthCheckNodePort ?? 0;
  if (asked !== 0 && asked === had) return;
  if (asked === 0) {
    const chosen = await allocator.next();
    if (chosen === undefined)
      throw internalError("failed to allocate a HealthCheck NodePort 0: range is full");
    now.healthCheckNodePort = chosen;
    return;
  }
  const problem = await allocator.claim(asked);
  if (problem !== undefined) {
    throw internalError(`failed to allocate requested HealthCheck NodePort ${asked}: ${problem}`);
  }
}
