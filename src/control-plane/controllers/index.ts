/** Layer control-plane. All controllers. `runControllers` of run.ts runs them. */
import { BOOTSTRAP } from "./bootstrap/controller.ts";
import type { Controller } from "./controller.ts";
import { ENDPOINT_SLICES } from "./endpoint-slices/controller.ts";
import { ENDPOINTS_SYNC } from "./endpoints/controller.ts";

export const CONTROLLERS: readonly Controller[] = [BOOTSTRAP, ENDPOINTS_SYNC, ENDPOINT_SLICES];
