/** Layer control-plane. Takes Nodes that stopped reporting out, with the endpoints on them. See README.md. */
import { asObject, asText } from "../../kinds/common/json-access.ts";
import type { ApiObject } from "../../registry/json.ts";
import type { Controller, ControllerContext } from "../controller.ts";
import { keyFor, keyOf } from "../framework/informer.ts";
import { isStatus } from "../framework/writes.ts";
import { readyStatus, silentNode, unreadyPod } from "./conditions.ts";
import { Liveness } from "./liveness.ts";

const LEASES = "leases.coordination.k8s.io";
const LEASE_NAMESPACE = "kube-node-lease";
const BY_NODE = "node";
export const DEFAULT_GRACE_SECONDS = 40;
/** Looked at this often; a fraction of short grace periods, so that these are kept too. */
const MAX_PERIOD_MS = 5_000;
/** With fewer Nodes than this, all of them being silent says nothing about the control plane. */
const MIN_NODES_FOR_DOUBT = 3;

class NodeLifecycle {
  readonly #context: ControllerContext;
  readonly #graceMs: number;
  readonly #liveness = new Liveness();
  /** Every Node was silent at the last look. */
  #allSilent = false;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#graceMs = (context.nodeGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS) * 1_000;
    context.informers.get("pods").addIndex(BY_NODE, (pod) => [asText(asObject(pod["spec"])["nodeName"])]);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { informers, clock } = this.#context;
    const nodes = informers.get("nodes");
    await Promise.all([
      nodes.untilSynced(),
      informers.get(LEASES).untilSynced(),
      informers.get("pods").untilSynced(),
    ]);
    const end = nodes.onChange((now, old) => {
      if (now === undefined && old !== undefined) this.#liveness.forget(keyOf(old));
    });
    const periodMs = Math.min(MAX_PERIOD_MS, this.#graceMs / 4);
    for (let lookedMs = clock.monotonicMs(); !signal.aborted; ) {
      // Stopped or starved: what could not be seen must not be held against anybody.
      const nowMs = clock.monotonicMs();
      if (nowMs - lookedMs > this.#graceMs / 2 + periodMs) this.#liveness.forgive(nowMs);
      lookedMs = nowMs;
      await this.#look([...nodes.all()]);
      await clock.sleep(periodMs, signal);
    }
    end();
  }

  async #look(nodes: readonly ApiObject[]): Promise<void> {
    const { clock, log } = this.#context;
    const silent = nodes.filter((node) => this.#silenceMs(node) > this.#graceMs);
    const allSilent = nodes.length >= MIN_NODES_FOR_DOUBT && silent.length === nodes.length;
    if (allSilent && !this.#allSilent) {
      log.warn(
        { nodes: nodes.length },
        "no node reports: the fault may be here, so endpoints are left as they are",
      );
    }
    // Once the first one is back, the others get the time to come back too.
    if (this.#allSilent && !allSilent) this.#liveness.forgive(clock.monotonicMs());
    this.#allSilent = allSilent;
    for (const node of silent) {
      try {
        if (this.#silenceMs(node) > this.#graceMs) await this.#takeOut(node);
      } catch (error) {
        // One Node must not keep the others from being looked at; it has its next turn soon.
        log.warn({ node: keyOf(node), error: String(error) }, "node not checked");
      }
    }
  }

  #silenceMs(node: ApiObject): number {
    const { informers, clock } = this.#context;
    const lease = informers.get(LEASES).get(keyFor(LEASE_NAMESPACE, keyOf(node)));
    return this.#liveness.silenceMs(node, lease, clock.monotonicMs());
  }

  async #takeOut(node: ApiObject): Promise<void> {
    const { informers, clock } = this.#context;
    const silent = silentNode(node, clock.nowMs());
    if (silent !== undefined) await this.#markNode(node, silent);
    if (this.#allSilent) return;
    // Also for Pods that were written after the Node was marked.
    for (const pod of informers.get("pods").byIndex(BY_NODE, keyOf(node))) {
      const unready = unreadyPod(pod, clock.nowMs());
      if (unready !== undefined) await this.#writeStatus("pods", unready);
    }
  }

  async #markNode(node: ApiObject, silent: ApiObject): Promise<void> {
    const { events, log } = this.#context;
    const name = keyOf(node);
    if (!(await this.#writeStatus("nodes", silent))) return;
    if (readyStatus(node) === "Unknown") return;
    log.warn({ node: name, graceMs: this.#graceMs }, "node does not report: not ready");
    events.record({
      about: { apiVersion: "v1", kind: "Node", namespace: "", name, uid: node.metadata.uid ?? "" },
      type: "Normal",
      reason: "NodeNotReady",
      message: `Node ${name} status is now: NodeNotReady`,
      component: "node-controller",
    });
  }

  /** @returns false when somebody else wrote first: then the object says something new, and is looked at again */
  async #writeStatus(resource: "nodes" | "pods", object: ApiObject): Promise<boolean> {
    const { client, informers } = this.#context;
    try {
      informers.get(resource).observe(await client.update(resource, object, "status"));
      return true;
    } catch (error) {
      if (isStatus(error, 409) || isStatus(error, 404)) return false;
      throw error;
    }
  }
}

export const NODE_LIFECYCLE: Controller = {
  name: "node-lifecycle",
  run: (context, signal) => new NodeLifecycle(context).run(signal),
};
