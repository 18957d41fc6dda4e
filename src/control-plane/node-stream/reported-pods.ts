/**
 * Layer control-plane. A node's mirror Pods, as reported, against the Pods in the API: missing ones are created, changed
 * manifests replace their Pod, status is brought up to date, Pods that the node no longer has are deleted. Pods that are
 * not mirrors are never touched.
 */
import type { ObjectClient } from "../registry/client.ts";
import { type ApiObject, isJsonObject, type JsonObject, sameJson, valueAt } from "../registry/json.ts";
import { hasStatus } from "./status-code.ts";

const MIRROR = "kubernetes.io/config.mirror";

export class ReportedPods {
  readonly #client: ObjectClient;
  readonly #onRefused: (node: string, object: string, error: unknown) => void;
  /** Of each node, the Pods of its last report that are in the API. */
  readonly #written = new Map<string, readonly ApiObject[]>();

  constructor(client: ObjectClient, onRefused: (node: string, object: string, error: unknown) => void) {
    this.#client = client;
    this.#onRefused = onRefused;
  }

  /** @returns false when a Pod could not be written */
  async write(node: string, reported: readonly ApiObject[]): Promise<boolean> {
    const written: ApiObject[] = [];
    const list = await this.#client.list("pods", { fieldSelector: `spec.nodeName=${node}` });
    const existing = new Map(list.items.map((pod) => [nameOf(pod), pod]));
    for (const pod of reported) {
      try {
        if (valueAt(pod, ["spec", "nodeName"]) !== node)
          throw new TypeError("its spec.nodeName is not this node");
        await this.#one(pod, existing.get(nameOf(pod)));
        written.push(pod);
      } catch (error) {
        this.#onRefused(node, `Pod ${nameOf(pod)}`, error);
      }
    }
    const names = new Set(reported.map(nameOf));
    for (const [name, pod] of existing)
      if (!names.has(name) && hashOf(pod) !== undefined) await this.#delete(pod);
    this.#written.set(node, written);
    return written.length === reported.length;
  }

  /** True when somebody deleted or replaced a mirror Pod: the workload still runs, so the node should report it again. */
  async isOverwritten(node: string): Promise<boolean> {
    for (const pod of this.#written.get(node) ?? []) {
      const { namespace = "", name = "" } = pod.metadata;
      const found = await this.#client.get("pods", namespace, name);
      if (found === undefined || hashOf(found) !== hashOf(pod)) return true;
    }
    return false;
  }

  async #one(pod: ApiObject, before: ApiObject | undefined): Promise<void> {
    const status = isJsonObject(pod["status"]) ? pod["status"] : {};
    if (before !== undefined && hashOf(before) === undefined)
      throw new TypeError("a Pod of this name is there that is no mirror");
    const isCurrent =
      before !== undefined &&
      hashOf(before) === hashOf(pod) &&
      before.metadata.deletionTimestamp === undefined;
    if (isCurrent) {
      const known = isJsonObject(before["status"]) ? before["status"] : {};
      if (!isWithin(status, known)) await this.#status(pod, status);
      return;
    }
    if (before !== undefined) await this.#delete(before);
    await this.#client.create("pods", pod);
    await this.#status(pod, status);
  }

  async #status(pod: ApiObject, status: JsonObject): Promise<void> {
    const { namespace = "", name = "" } = pod.metadata;
    await this.#client.mergePatch("pods", namespace, name, { status }, "status");
  }

  async #delete(pod: ApiObject): Promise<void> {
    const { namespace = "", name = "", uid } = pod.metadata;
    try {
      const options = { gracePeriodSeconds: 0, ...(uid === undefined ? {} : { uid }) };
      await this.#client.delete("pods", namespace, name, options);
    } catch (error) {
      if (!hasStatus(error, 404) && !hasStatus(error, 409)) throw error;
    }
  }
}

function nameOf(pod: ApiObject): string {
  return `${pod.metadata.namespace ?? ""}/${pod.metadata.name ?? ""}`;
}

function hashOf(pod: ApiObject): string | undefined {
  return pod.metadata.annotations?.[MIRROR];
}

function isWithin(wanted: JsonObject, known: JsonObject): boolean {
  return Object.entries(wanted).every(([key, value]) => sameJson(known[key], value));
}
