/** Layer control-plane. Keeps the Endpoints objects of Services with a selector. See README.md. */
import { isExternalName, isSelectorless, serviceSpec } from "../../kinds/service/view.ts";
import { type ApiObject, sameJson } from "../../registry/json.ts";
import { ServicePods } from "../common/service-pods.ts";
import { TRIGGER_TIME_ANNOTATION, TriggerTimes } from "../common/trigger-time.ts";
import type { Controller, ControllerContext } from "../controller.ts";
import { HEADLESS_LABEL, isWithoutAddress } from "../endpoint-slices/metadata.ts";
import { type Informer, keyOf } from "../framework/informer.ts";
import { WorkQueue } from "../framework/work-queue.ts";
import { removeIfThere } from "../framework/writes.ts";
import { endpointSubsets } from "./subsets.ts";

const ENDPOINTS_RESOURCE = "endpoints";
const OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity";
/** Tells the API's users who made the object, and the mirroring controller to leave it alone. */
const MANAGED_BY = "endpoints.kubernetes.io/managed-by";
export const ENDPOINTS_CONTROLLER = "endpoint-controller";
const WORKERS = 4;

class EndpointsSync {
  readonly #context: ControllerContext;
  readonly #services: ServicePods;
  readonly #endpoints: Informer;
  readonly #triggerTimes = new TriggerTimes();
  /** Services seen going: their Endpoints go with them, also hand-made ones. Others may be older than their Service. */
  readonly #gone = new Set<string>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#services = new ServicePods(context.informers);
    this.#endpoints = context.informers.get(ENDPOINTS_RESOURCE);
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#services.untilSynced(), this.#endpoints.untilSynced()]);
    const { clock, log } = this.#context;
    const work = (key: string): Promise<void> => this.#sync(key);
    const queue = new WorkQueue({ name: "endpoints", clock, log, workers: WORKERS, work });
    const ends = [
      this.#services.services.onChange((now, old) => {
        if (now !== undefined) this.#gone.delete(keyOf(now));
        else if (old !== undefined) this.#gone.add(keyOf(old));
      }),
      this.#services.onChange((key) => queue.add(key)),
      this.#endpoints.onChange((now, old) => {
        const object = now ?? old;
        if (object !== undefined) queue.add(keyOf(object));
      }),
    ];
    await queue.run(signal);
    for (const end of ends) end();
  }

  async #sync(key: string): Promise<void> {
    const service = this.#services.services.get(key);
    const existing = this.#endpoints.get(key);
    if (service === undefined) {
      this.#triggerTimes.forget(key);
      const isOurs = existing?.metadata.labels?.[MANAGED_BY] === ENDPOINTS_CONTROLLER || this.#gone.has(key);
      if (existing !== undefined && isOurs) {
        await removeIfThere(this.#context.client, ENDPOINTS_RESOURCE, existing);
        this.#endpoints.forget(existing);
      }
      this.#gone.delete(key);
      return;
    }
    const spec = serviceSpec(service);
    if (isExternalName(spec) || isSelectorless(spec) || service.metadata.deletionTimestamp !== undefined)
      return;
    const pods = this.#services.podsOf(service);
    const triggerTime = this.#triggerTimes.next(key, service, pods);
    const wanted = desiredObject(service, pods, { existing, triggerTime: triggerTime.text });
    const { client } = this.#context;
    if (existing === undefined) this.#endpoints.observe(await client.create(ENDPOINTS_RESOURCE, wanted));
    else if (differs(existing, wanted)) {
      this.#endpoints.observe(await client.update(ENDPOINTS_RESOURCE, wanted));
    }
    triggerTime.keep();
  }
}

function desiredObject(
  service: ApiObject,
  pods: readonly ApiObject[],
  { existing, triggerTime }: { existing: ApiObject | undefined; triggerTime: string | undefined },
): ApiObject {
  const { subsets, truncated } = endpointSubsets(service, pods);
  const annotations = { ...existing?.metadata.annotations };
  delete annotations[TRIGGER_TIME_ANNOTATION];
  delete annotations[OVER_CAPACITY];
  if (triggerTime !== undefined) annotations[TRIGGER_TIME_ANNOTATION] = triggerTime;
  if (truncated) annotations[OVER_CAPACITY] = "truncated";
  const { namespace = "", name = "" } = service.metadata;
  const { [HEADLESS_LABEL]: _headless, ...labels } = service.metadata.labels ?? {};
  return {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: {
      ...existing?.metadata,
      namespace,
      name,
      labels: {
        ...labels,
        [MANAGED_BY]: ENDPOINTS_CONTROLLER,
        ...(isWithoutAddress(service) ? { [HEADLESS_LABEL]: "" } : {}),
      },
      annotations,
    },
    ...(subsets.length === 0 ? {} : { subsets }),
  };
}

/** The trigger time alone is no reason to write. */
function differs(existing: ApiObject, wanted: ApiObject): boolean {
  const overCapacity = (object: ApiObject): string | undefined =>
    object.metadata.annotations?.[OVER_CAPACITY];
  return (
    !sameJson(existing["subsets"] ?? [], wanted["subsets"] ?? []) ||
    !sameJson(existing.metadata.labels, wanted.metadata.labels) ||
    overCapacity(existing) !== overCapacity(wanted)
  );
}

export const ENDPOINTS_SYNC: Controller = {
  name: "endpoints",
  run: (context, signal) => new EndpointsSync(context).run(signal),
};
