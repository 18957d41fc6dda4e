/** Layer control-plane. Makes EndpointSlices from Endpoints objects that people write. See README.md. */

import { Problems } from "../../../model/kubernetes/fields.ts";
import { WEIGHTS_ANNOTATION } from "../../../model/kubernetes/meta.ts";
import { readWeights } from "../../../model/kubernetes/weights.ts";
import { isExternalName, isSelectorless, serviceSpec } from "../../kinds/service/view.ts";
import type { ApiObject } from "../../registry/json.ts";
import { SKIP_MIRROR_LABEL } from "../bootstrap/objects.ts";
import { TRIGGER_TIME_ANNOTATION } from "../common/trigger-time.ts";
import type { Controller, ControllerContext } from "../controller.ts";
import {
  HEADLESS_LABEL,
  isWithoutAddress,
  MANAGED_BY_LABEL,
  SERVICE_NAME_LABEL,
} from "../endpoint-slices/metadata.ts";
import { planSlices, type SliceProfile } from "../endpoint-slices/plan.ts";
import { SLICES, writeSlices } from "../endpoint-slices/write.ts";
import { type Informer, keyFor, keyOf } from "../framework/informer.ts";
import { WorkQueue } from "../framework/work-queue.ts";
import { mirroredGroups } from "./mirrored.ts";

export const MIRRORING_CONTROLLER = "endpointslicemirroring-controller.k8s.io";
const LEADER_ANNOTATION = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";
const BY_SERVICE = "mirrored slices by service";
const NOT_COPIED = new Set([LAST_APPLIED, TRIGGER_TIME_ANNOTATION, WEIGHTS_ANNOTATION]);

function serviceOfSlice(slice: ApiObject): readonly string[] {
  const labels = slice.metadata.labels ?? {};
  const service = labels[SERVICE_NAME_LABEL] ?? "";
  if (service === "" || labels[MANAGED_BY_LABEL] !== MIRRORING_CONTROLLER) return [];
  return [keyFor(slice.metadata.namespace ?? "", service)];
}

/** Endpoints that somebody keeps by hand for a Service without a selector. */
function isMirrored(
  endpoints: ApiObject | undefined,
  service: ApiObject | undefined,
): endpoints is ApiObject {
  if (endpoints === undefined || service === undefined) return false;
  if (endpoints.metadata.labels?.[SKIP_MIRROR_LABEL] === "true") return false;
  if (endpoints.metadata.annotations?.[LEADER_ANNOTATION] !== undefined) return false;
  const spec = serviceSpec(service);
  return isSelectorless(spec) && !isExternalName(spec) && service.metadata.deletionTimestamp === undefined;
}

function profileOf(endpoints: ApiObject, service: ApiObject): SliceProfile {
  const { namespace = "", name = "", uid = "", labels = {}, annotations = {} } = endpoints.metadata;
  const { [HEADLESS_LABEL]: _headless, ...copied } = labels;
  return {
    namespace,
    namePrefix: `${name}-`,
    labels: {
      ...copied,
      [SERVICE_NAME_LABEL]: name,
      [MANAGED_BY_LABEL]: MIRRORING_CONTROLLER,
      ...(isWithoutAddress(service) ? { [HEADLESS_LABEL]: "" } : {}),
    },
    owner: { apiVersion: "v1", kind: "Endpoints", name, uid, controller: true, blockOwnerDeletion: true },
    annotations: Object.fromEntries(Object.entries(annotations).filter(([key]) => !NOT_COPIED.has(key))),
    placeholders: [],
  };
}

async function sync(context: ControllerContext, key: string, slices: Informer): Promise<void> {
  const { client, informers } = context;
  const endpoints = informers.get("endpoints").get(key);
  const service = informers.get("services").get(key);
  const existing = slices.byIndex(BY_SERVICE, key);
  if (!isMirrored(endpoints, service) || service === undefined) {
    await writeSlices(client, slices, { create: [], update: [], remove: existing });
    return;
  }
  // Wrong weights are told to the user by the nodes that read the slices; here they count as not given.
  const { namespace = "", name = "" } = endpoints.metadata;
  const ignored = new Problems({ kind: "EndpointSlice", namespace, name });
  const weights = readWeights(endpoints.metadata.annotations ?? {}, ignored);
  const groups = mirroredGroups(endpoints, weights);
  await writeSlices(client, slices, planSlices(profileOf(endpoints, service), groups, existing, undefined));
}

export const ENDPOINT_SLICE_MIRRORING: Controller = {
  name: "endpoint-slice-mirroring",
  async run(context, signal) {
    const { clock, log, informers } = context;
    const slices = informers.get(SLICES);
    const sources = [informers.get("endpoints"), informers.get("services")];
    slices.addIndex(BY_SERVICE, serviceOfSlice);
    await Promise.all([slices, ...sources].map((informer) => informer.untilSynced()));
    const work = (key: string): Promise<void> => sync(context, key, slices);
    const queue = new WorkQueue({ name: "endpoint-slice-mirroring", clock, log, workers: 4, work });
    const ends = [
      ...sources.map((informer) =>
        informer.onChange((now, old) => {
          const object = now ?? old;
          if (object !== undefined) queue.add(keyOf(object));
        }),
      ),
      slices.onChange((now, old) => {
        for (const slice of [now, old]) for (const key of slice ? serviceOfSlice(slice) : []) queue.add(key);
      }),
    ];
    await queue.run(signal);
    for (const end of ends) end();
  },
};
