/**
 * Layer control-plane. Keeps the objects of objects.ts there: made when missing; the parts that the control plane
 * itself knows best (ranges, API address and port) are put right, the DNS Service is left to the administrator.
 */
import { asList, asObject } from "../../kinds/common/json-access.ts";
import { type ApiObject, type Json, sameJson } from "../../registry/json.ts";
import type { Controller, ControllerContext } from "../controller.ts";
import { keyOf } from "../framework/informer.ts";
import { WorkQueue } from "../framework/work-queue.ts";
import { createIfMissing } from "../framework/writes.ts";
import { createSystemNamespaces } from "./namespaces.ts";
import {
  apiEndpointAddresses,
  dnsService,
  kubernetesEndpoints,
  kubernetesService,
  kubernetesSlice,
  serviceCidrObject,
} from "./objects.ts";

const ONE_KEY = "all";
const RECHECK_MS = 60_000;
const RESOURCES = [
  "namespaces",
  "services",
  "endpoints",
  "endpointslices.discovery.k8s.io",
  "servicecidrs.networking.k8s.io",
];

interface Wanted {
  readonly resource: string;
  readonly object: ApiObject;
  /** Top-level fields that are put right when they differ. */
  readonly enforced: readonly string[];
}

function wantedObjects(context: ControllerContext): readonly Wanted[] {
  const { settings } = context;
  const reachable = apiEndpointAddresses(settings).length > 0;
  return [
    {
      resource: "servicecidrs.networking.k8s.io",
      object: serviceCidrObject(settings),
      enforced: [],
    },
    { resource: "services", object: kubernetesService(settings), enforced: ["ports"] },
    { resource: "services", object: dnsService(settings), enforced: [] },
    ...(reachable
      ? [
          { resource: "endpoints", object: kubernetesEndpoints(settings), enforced: ["subsets"] },
          {
            resource: "endpointslices.discovery.k8s.io",
            object: kubernetesSlice(settings),
            enforced: ["endpoints", "ports"],
          },
        ]
      : []),
  ];
}

async function sync(context: ControllerContext): Promise<void> {
  const { client } = context;
  await createSystemNamespaces(client);
  for (const wanted of wantedObjects(context)) await ensure(context, wanted);
  await markCidrsReady(context);
}

async function ensure({ client, log }: ControllerContext, wanted: Wanted): Promise<void> {
  const { resource, object, enforced } = wanted;
  const { namespace = "", name = "" } = object.metadata;
  const existing = await client.get(resource, namespace, name);
  if (existing === undefined) {
    try {
      await createIfMissing(client, resource, object);
      log.info({ resource, namespace, name }, "created");
    } catch (error) {
      // For instance kube-dns' address is taken: the others must be there all the same.
      log.warn({ resource, namespace, name, error: String(error) }, "cannot create");
    }
    return;
  }
  const isService = object.kind === "Service";
  const part = (source: ApiObject): { [key: string]: Json | undefined } =>
    isService ? asObject(source["spec"]) : source;
  const wrong = enforced.filter((field) => !covers(part(existing)[field], part(object)[field]));
  if (wrong.length === 0) return;
  const next = structuredClone(existing);
  for (const field of wrong) part(next)[field] = part(object)[field];
  await client.update(resource, next);
}

/** True when everything in `wanted` is in `have` with the same value; `have` may hold defaults besides. */
function covers(have: Json | undefined, wanted: Json | undefined): boolean {
  if (Array.isArray(wanted)) {
    const list = asList(have);
    return list.length === wanted.length && wanted.every((item, index) => covers(list[index], item));
  }
  if (typeof wanted !== "object" || wanted === null) return sameJson(have, wanted);
  return Object.entries(wanted).every(([key, value]) => covers(asObject(have)[key], value));
}

/** Every ServiceCIDR may be used as soon as it is there. */
async function markCidrsReady({ client, informers, clock }: ControllerContext): Promise<void> {
  for (const object of informers.get("servicecidrs.networking.k8s.io").all()) {
    const conditions = asList(asObject(object["status"])["conditions"]);
    const isReady = conditions.some(
      (one) => asObject(one)["type"] === "Ready" && asObject(one)["status"] === "True",
    );
    if (isReady || object.metadata.deletionTimestamp !== undefined) continue;
    const condition = {
      type: "Ready",
      status: "True",
      reason: "",
      message: "Kubernetes Service CIDR is ready",
      lastTransitionTime: `${new Date(clock.nowMs()).toISOString().slice(0, 19)}Z`,
    };
    const next = { ...structuredClone(object), status: { conditions: [condition] } };
    await client.update("servicecidrs.networking.k8s.io", next, "status");
  }
}

export const BOOTSTRAP: Controller = {
  name: "bootstrap",
  async run(context, signal) {
    const { clock, log, informers } = context;
    const queue = new WorkQueue({ name: "bootstrap", clock, log, work: () => sync(context) });
    const ours = new Set(wantedObjects(context).map(({ object }) => keyOf(object)));
    const ends = RESOURCES.map((resource) =>
      informers.get(resource).onChange((now, old) => {
        const object = now ?? old;
        const concerns = resource.startsWith("servicecidrs") || resource === "namespaces";
        if (object !== undefined && (concerns || ours.has(keyOf(object)))) queue.add(ONE_KEY);
      }),
    );
    queue.add(ONE_KEY);
    const running = queue.run(signal);
    while (!signal.aborted) {
      await clock.sleep(RECHECK_MS, signal);
      queue.add(ONE_KEY);
    }
    await running;
    for (const end of ends) end();
  },
};
