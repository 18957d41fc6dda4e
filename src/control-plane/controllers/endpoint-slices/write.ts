/** Layer control-plane. Carries out the writes of a plan, and takes them into the cache. */
import type { ObjectClient } from "../../registry/client.ts";
import type { Informer } from "../framework/informer.ts";
import { removeIfThere } from "../framework/writes.ts";
import type { SliceWrites } from "./plan.ts";

export const SLICES = "endpointslices.discovery.k8s.io";

/** Additions first: an endpoint may be in two slices for a moment, but never in none. */
export async function writeSlices(
  client: ObjectClient,
  cache: Informer,
  { create, update, remove }: SliceWrites,
): Promise<void> {
  for (const slice of create) cache.observe(await client.create(SLICES, slice));
  for (const slice of update) cache.observe(await client.update(SLICES, slice));
  for (const slice of remove) {
    await removeIfThere(client, SLICES, slice);
    cache.forget(slice);
  }
}
