/** Layer control-plane. Keeps the EndpointSlices of Services with a selector. See README.md. */
import { asText } from "../../kinds/common/json-access.ts";
import { isExternalName, isSelectorless, serviceSpec } from "../../kinds/service/view.ts";
import type { ApiObject } from "../../registry/json.ts";
import { ServicePods } from "../common/service-pods.ts";
import { TriggerTimes } from "../common/trigger-time.ts";
import type { Controller, ControllerContext } from "../controller.ts";
import { type Informer, keyFor } from "../framework/informer.ts";
import { WorkQueue } from "../framework/work-queue.ts";
import { AutoTopology } from "./auto-topology.ts";
import { desiredEndpoints, type NodeFacts } from "./desired.ts";
import {
  MANAGED_BY_LABEL,
  ownerReference,
  SERVICE_NAME_LABEL,
  SLICE_CONTROLLER,
  sliceLabels,
} from "./metadata.ts";
import { planSlices, type SliceProfile } from "./plan.ts";
import { SLICES, writeSlices } from "./write.ts";
import { zoneOf } from "./zone-shares.ts";

const BY_SERVICE = "managed slices by service";
const WORKERS = 8;

/** Slices that this controller manages, by `namespace/service`. */
function serviceOfSlice(slice: ApiObject): readonly string[] {
  const labels = slice.metadata.labels ?? {};
  const service = labels[SERVICE_NAME_LABEL] ?? "";
  if (service === "" || labels[MANAGED_BY_LABEL] !== SLICE_CONTROLLER) return [];
  return [keyFor(slice.metadata.namespace ?? "", service)];
}

function profileOf(service: ApiObject): SliceProfile {
  return {
    namespace: service.metadata.namespace ?? "",
    namePrefix: `${service.metadata.name ?? ""}-`,
    labels: sliceLabels(service),
    owner: ownerReference(service),
    annotations: {},
    placeholders: serviceSpec(service).ipFamilies ?? [],
  };
}

class EndpointSliceSync {
  readonly #context: ControllerContext;
  readonly #services: ServicePods;
  readonly #slices: Informer;
  readonly #nodes: Informer;
  readonly #triggerTimes = new TriggerTimes();
  readonly #topology: AutoTopology;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#services = new ServicePods(context.informers);
    this.#slices = context.informers.get(SLICES);
    this.#nodes = context.informers.get("nodes");
    this.#slices.addIndex(BY_SERVICE, serviceOfSlice);
    this.#topology = new AutoTopology(this.#services.services, this.#nodes, context.events);
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#services.untilSynced(), this.#slices.untilSynced(), this.#nodes.untilSynced()]);
    const { clock, log } = this.#context;
    const work = (key: string): Promise<void> => this.#sync(key);
    const queue = new WorkQueue({ name: "endpoint-slices", clock, log, workers: WORKERS, work });
    const ends = [
      this.#services.onChange((key) => queue.add(key)),
      this.#slices.onChange((now, old) => {
        // Own writes come back here too; a second look that finds nothing to do is cheap.
        for (const slice of [now, old]) for (const key of slice ? serviceOfSlice(slice) : []) queue.add(key);
      }),
      this.#nodes.onChange((now, old) => {
        for (const key of this.#topology.nodeChanged(now, old)) queue.add(key);
        if (now !== undefined && old !== undefined && zoneOf(now) === zoneOf(old)) return;
        for (const key of this.#services.servicesOnNode((now ?? old)?.metadata.name ?? "")) queue.add(key);
      }),
    ];
    await queue.run(signal);
    for (const end of ends) end();
  }

  async #sync(key: string): Promise<void> {
    const service = this.#services.services.get(key);
    const existing = this.#slices.byIndex(BY_SERVICE, key);
    if (service === undefined || isExternalName(serviceSpec(service))) {
      this.#triggerTimes.forget(key);
      this.#topology.forget(key);
      await writeSlices(this.#context.client, this.#slices, { create: [], update: [], remove: existing });
      return;
    }
    if (isSelectorless(serviceSpec(service)) || service.metadata.deletionTimestamp !== undefined) return;
    const pods = this.#services.podsOf(service);
    const desired = desiredEndpoints(service, pods, (name) => this.#nodeFacts(name));
    const triggerTime = this.#triggerTimes.next(key, service, pods);
    const groups = this.#topology.apply(service, desired.groups);
    const writes = planSlices(profileOf(service), groups, existing, triggerTime.text);
    await writeSlices(this.#context.client, this.#slices, writes);
    triggerTime.keep();
  }

  #nodeFacts(name: string): NodeFacts | undefined {
    const node = this.#nodes.get(name);
    return node === undefined ? undefined : { zone: asText(zoneOf(node)) };
  }
}

export const ENDPOINT_SLICES: Controller = {
  name: "endpoint-slices",
  run: (context, signal) => new EndpointSliceSync(context).run(signal),
};
