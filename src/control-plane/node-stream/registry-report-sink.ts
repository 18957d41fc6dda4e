/**
 * Layer control-plane. Writes what nodes report through the API server's own operations: the Lease, the Node, its mirror
 * Pods and Events. Only differences are written; a node can touch nothing but what is its own.
 */
import type { ObjectClient } from "../registry/client.ts";
import { type ApiObject, isJsonObject, sameJson } from "../registry/json.ts";
import { conditionsOf, isOnlyHeartbeat, mergeConditions, textOf } from "./node-conditions.ts";
import type { NodeReport, ReportJson } from "./report-assembly.ts";
import type { NodeReportSink } from "./report-sink.ts";
import { ReportedPods } from "./reported-pods.ts";
import { hasStatus } from "./status-code.ts";

const LEASES = "leases.coordination.k8s.io";
const LEASE_NAMESPACE = "kube-node-lease";
const LEASE_SECONDS = 40;

export interface RegistryReportSinkOptions {
  readonly client: ObjectClient;
  readonly now?: () => number;
  /** One object of a report could not be written; the others were. */
  readonly onRefused?: (node: string, object: string, error: unknown) => void;
}

export class RegistryReportSink implements NodeReportSink {
  readonly #client: ObjectClient;
  readonly #now: () => number;
  readonly #onRefused: (node: string, object: string, error: unknown) => void;
  readonly #pods: ReportedPods;
  /** Labels that each node reported last: the only ones that a later report can take away. */
  readonly #labels = new Map<string, readonly string[]>();

  constructor(options: RegistryReportSinkOptions) {
    this.#client = options.client;
    this.#now = options.now ?? Date.now;
    this.#onRefused = options.onRefused ?? (() => {});
    this.#pods = new ReportedPods(options.client, this.#onRefused);
  }

  async heartbeat(node: string): Promise<boolean> {
    const renewTime = new Date(this.#now()).toISOString().replace("Z", "000Z");
    const spec = { holderIdentity: node, leaseDurationSeconds: LEASE_SECONDS, renewTime };
    try {
      await this.#client.mergePatch(LEASES, LEASE_NAMESPACE, node, { spec });
    } catch (error) {
      if (!hasStatus(error, 404)) throw error;
      await this.#client.create(LEASES, {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name: node, namespace: LEASE_NAMESPACE },
        spec,
      });
    }
    const object = await this.#client.get("nodes", "", node);
    if (object === undefined || readiness(object) === "Unknown") return true;
    return await this.#pods.isOverwritten(node);
  }

  async report(node: string, report: NodeReport): Promise<boolean> {
    const reported = toObject(report.node);
    if (reported.metadata.name !== node) throw new TypeError(`node ${node} reports another Node's object`);
    await this.#node(node, reported);
    const isComplete = await this.#pods.write(node, report.pods.map(toObject));
    for (const event of report.events) await this.#event(node, toObject(event));
    return isComplete;
  }

  async #node(node: string, reported: ApiObject): Promise<void> {
    const before = await this.#client.get("nodes", "", node);
    const existing = before ?? (await this.#client.create("nodes", reported));
    if (before !== undefined) await this.#nodeLabels(node, existing, reported);
    this.#labels.set(node, Object.keys(reported.metadata.labels ?? {}));
    const status = reported["status"];
    if (!isJsonObject(status)) return;
    const known = isJsonObject(existing["status"]) ? existing["status"] : {};
    const conditions = mergeConditions(conditionsOf(existing), conditionsOf(reported), this.#now());
    const isSame = Object.entries(status).every(
      ([key, value]) => key === "conditions" || sameJson(known[key], value),
    );
    if (isSame && isOnlyHeartbeat(conditionsOf(existing), conditions)) return;
    await this.#client.mergePatch("nodes", "", node, { status: { ...status, conditions } }, "status");
  }

  async #nodeLabels(node: string, existing: ApiObject, reported: ApiObject): Promise<void> {
    const have = existing.metadata.labels ?? {};
    const want = reported.metadata.labels ?? {};
    const labels: Record<string, string | null> = {};
    for (const [key, value] of Object.entries(want)) if (have[key] !== value) labels[key] = value;
    for (const key of this.#labels.get(node) ?? [])
      if (want[key] === undefined && have[key] !== undefined) labels[key] = null;
    if (Object.keys(labels).length === 0) return;
    await this.#client.mergePatch("nodes", "", node, { metadata: { labels } });
  }

  async #event(node: string, event: ApiObject): Promise<void> {
    try {
      await this.#client.create("events", event);
    } catch (error) {
      if (!hasStatus(error, 409)) this.#onRefused(node, `Event ${event.metadata.name ?? ""}`, error);
    }
  }
}

function readiness(node: ApiObject): string {
  return textOf(conditionsOf(node).find((condition) => condition["type"] === "Ready")?.["status"]);
}

/** Reports come from the network: only the shape that is relied on here is checked, the API checks the rest. */
function toObject(json: ReportJson): ApiObject {
  const metadata = json["metadata"];
  if (typeof json["apiVersion"] !== "string" || typeof json["kind"] !== "string")
    throw new TypeError("a reported object lacks apiVersion or kind");
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata))
    throw new TypeError("a reported object lacks metadata");
  return json as ApiObject;
}
