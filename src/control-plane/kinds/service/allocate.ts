/**
 * Layer control-plane. What a Service takes when it is written: families, cluster addresses, node ports and the
 * health check port; and what it gives back (pkg/registry/core/service/storage/alloc.go). Runs inside the write's
 * transaction: a failure or a dry run leaves nothing behind.
 */
import { randomInt } from "node:crypto";
import type { Random } from "../../allocators/bands.ts";
import { ClusterIpAllocator, configuredFamilies } from "../../allocators/cluster-ips.ts";
import { NodePortAllocator } from "../../allocators/node-ports.ts";
import { internalError } from "../../registry/api-error.ts";
import { type FieldError, invalid } from "../../registry/field-error.ts";
import type { ApiObject } from "../../registry/json.ts";
import type { WriteContext } from "../../registry/kind.ts";
import { allocateNodePorts, updateHealthCheckPort } from "./allocate-ports.ts";
import { initFamilies } from "./families.ts";
import {
  hasNodePorts,
  isExternalName,
  isHeadless,
  nodePortsOf,
  type ServiceSpec,
  sameList,
  serviceSpec,
} from "./view.ts";

/** How allocations name their owner. */
export function ownerOf(service: ApiObject): string {
  return `services/${service.metadata.namespace ?? ""}/${service.metadata.name ?? ""}`;
}

export async function allocateService(
  service: ApiObject,
  old: ApiObject | undefined,
  context: WriteContext,
  random: Random = randomInt,
): Promise<readonly FieldError[]> {
  const now = serviceSpec(service);
  const before = old === undefined ? undefined : serviceSpec(old);
  const familyErrors = initFamilies(now, before, configuredFamilies(context.settings.serviceCidrs));
  if (familyErrors.length > 0) return familyErrors;
  const ips = new ClusterIpAllocator(context, ownerOf(service), random);
  const ipErrors = await allocateClusterIps(now, before, ips);
  if (ipErrors.length > 0) return ipErrors;
  const ports = new NodePortAllocator(context, ownerOf(service), random);
  const portErrors = await allocateNodePorts(now, before, ports);
  if (portErrors.length > 0) return portErrors;
  await updateHealthCheckPort(now, before, ports);
  return [];
}

/** Everything goes back when the Service is removed. */
export async function releaseService(service: ApiObject, context: WriteContext): Promise<void> {
  const spec = serviceSpec(service);
  const ips = new ClusterIpAllocator(context, ownerOf(service), randomInt);
  for (const ip of addressesOf(spec)) await ips.release(ip);
  const ports = new NodePortAllocator(context, ownerOf(service), randomInt);
  if (hasNodePorts(spec)) for (const port of nodePortsOf(spec)) await ports.release(port);
  if ((spec.healthCheckNodePort ?? 0) !== 0) await ports.release(spec.healthCheckNodePort ?? 0);
}

/** Addresses that are allocated, so without None. */
function addressesOf(spec: ServiceSpec): readonly string[] {
  return isExternalName(spec) || isHeadless(spec) ? [] : (spec.clusterIPs ?? []);
}

async function allocateClusterIps(
  now: ServiceSpec,
  before: ServiceSpec | undefined,
  allocator: ClusterIpAllocator,
): Promise<readonly FieldError[]> {
  const had = before === undefined ? [] : addressesOf(before);
  if (isExternalName(now) || isHeadless(now)) {
    for (const ip of had) await allocator.release(ip);
    return [];
  }
  // Families are set now; addresses may be there for all, some or none of them.
  const ips: string[] = [];
  for (const [index, family] of (now.ipFamilies ?? []).entries()) {
    const asked = now.clusterIPs?.[index] ?? "";
    if (asked === "") {
      const chosen = await allocator.next(family);
      if (chosen === undefined) throw internalError("failed to allocate a serviceIP: range is full");
      ips.push(chosen);
    } else {
      if (!had.includes(asked)) {
        const problem = await allocator.claim(asked);
        if (problem !== undefined) {
          const text = `failed to allocate IP ${asked}: ${problem}`;
          return [invalid("spec.clusterIPs", now.clusterIPs, text)];
        }
      }
      ips.push(asked);
    }
  }
  for (const ip of had) if (!ips.includes(ip)) await allocator.release(ip);
  if (!sameList(now.clusterIPs, ips)) now.clusterIPs = ips;
  if (ips[0] !== undefined) now.clusterIP = ips[0];
  return [];
}
