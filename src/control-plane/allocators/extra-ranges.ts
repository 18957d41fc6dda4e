/**
 * Layer control-plane. Ranges of ServiceCIDR objects beside the configured ones. Read only when the configured
 * ranges are full or do not hold an address that is asked for; there are few of these objects.
 */
import { isJsonObject } from "../registry/json.ts";
import type { WriteContext } from "../registry/kind.ts";
import { parseServiceRange, type ServiceRange } from "./service-range.ts";

const PREFIX = "/objects/networking.k8s.io/servicecidrs/";

/** Ranges of ServiceCIDRs that are not being deleted, in order of their names. */
export async function readExtraRanges(context: WriteContext): Promise<readonly ServiceRange[]> {
  const configured = new Set(context.settings.serviceCidrs);
  const ranges: ServiceRange[] = [];
  for (const key of await context.keys(PREFIX)) {
    const text = await context.read(key);
    if (text === undefined) continue;
    for (const cidr of cidrsOf(JSON.parse(text))) {
      const range = configured.has(cidr) ? undefined : parseServiceRange(cidr);
      if (range !== undefined) ranges.push(range);
    }
  }
  return ranges;
}

function cidrsOf(object: unknown): readonly string[] {
  if (!isJsonObject(object)) return [];
  const { metadata, spec } = object;
  if (isJsonObject(metadata) && metadata["deletionTimestamp"] !== undefined) return [];
  const cidrs = isJsonObject(spec) ? spec["cidrs"] : undefined;
  return Array.isArray(cidrs) ? cidrs.filter((cidr) => typeof cidr === "string") : [];
}
