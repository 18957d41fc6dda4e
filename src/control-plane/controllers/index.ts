/** Layer control-plane. All controllers. `runControllers` of run.ts runs them. */
import { ALLOCATION_REPAIR } from "./allocation-repair/controller.ts";
import { BOOTSTRAP } from "./bootstrap/controller.ts";
import type { Controller } from "./controller.ts";
import { ENDPOINT_SLICE_MIRRORING } from "./endpoint-slice-mirroring/controller.ts";
import { ENDPOINT_SLICES } from "./endpoint-slices/controller.ts";
import { ENDPOINTS_SYNC } from "./endpoints/controller.ts";
import { GARBAGE_COLLECTOR } from "./garbage-collector/controller.ts";
import { NAMESPACE_DELETION } from "./namespaces/controller.ts";
import { NODE_LIFECYCLE } from "./node-lifecycle/controller.ts";
import { POD_CIDRS } from "./pod-cidrs/controller.ts";
import { POD_COLLECTOR } from "./pod-collector/controller.ts";

export const CONTROLLERS: readonly Controller[] = [
  BOOTSTRAP,
  ALLOCATION_REPAIR,
  NODE_LIFECYCLE,
  POD_CIDRS,
  ENDPOINTS_SYNC,
  ENDPOINT_SLICES,
  ENDPOINT_SLICE_MIRRORING,
  NAMESPACE_DELETION,
  GARBAGE_COLLECTOR,
  POD_COLLECTOR,
];
