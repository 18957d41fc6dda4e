/**
 * Layer dns. Keeps the names in the native engine equal to the cluster, for each `kubernetes` block (view) that it answers
 * for. A commit's few services are put at once, so that the next question sees them; many (a snapshot, a reload) are put in
 * portions while the view is off and its questions go through the chain.
 */
import type { EngineView, UdpEngine } from "../../drivers/udp-engine/driver.ts";
import type { ClusterState } from "../cluster/cluster-state.ts";
import type { ClusterView } from "../plugins/kubernetes/cluster-view.ts";
import { leftName, namespaceName, serviceName } from "./service-name.ts";

/** Services that are put within a commit: 10 us each. */
const MAX_AT_ONCE = 256;
const PORTION = 128;

interface FollowedView {
  readonly id: number;
  readonly view: ClusterView;
  /** Services that wait for their turn; the view is off meanwhile. */
  waiting: Set<string>;
  isOn: boolean;
  /** Something had no room in the engine: off until the next configuration. */
  isUnfit: boolean;
}

export class NameFeed {
  readonly #engine: UdpEngine;
  readonly #cluster: ClusterState;
  readonly #defer: (work: () => void) => void;
  #views: readonly FollowedView[] = [];
  #nextId = 0;
  #isWorking = false;

  /** @param defer runs something a little later, after other work of the event loop */
  constructor(engine: UdpEngine, cluster: ClusterState, defer: (work: () => void) => void) {
    this.#engine = engine;
    this.#cluster = cluster;
    this.#defer = defer;
  }

  /**
   * Answers for these blocks from now on, in the order given; those before are forgotten by `drop`, which the caller calls
   * when no route leads to them.
   */
  use(views: readonly ClusterView[]): { readonly views: readonly EngineView[]; readonly drop: () => void } {
    const old = this.#views;
    this.#views = views.map((view) => ({
      id: this.#freeId(old),
      view,
      waiting: new Set(),
      isOn: false,
      isUnfit: false,
    }));
    return {
      views: this.#views.map(({ id, view }) => engineView(id, view)),
      drop: () => {
        for (const { id } of old) this.#engine.setView(id, "forgotten");
        for (const followed of this.#views) this.#fill(followed);
      },
    };
  }

  onCommit(changed: ReadonlySet<string>, namespaces: ReadonlySet<string>): void {
    for (const followed of this.#views) {
      for (const name of namespaces) this.#putNamespace(followed, name);
      const services = this.#touched(followed.view, changed, namespaces);
      if (followed.isOn && services.size <= MAX_AT_ONCE) {
        for (const key of services) this.#putService(followed, key);
        continue;
      }
      this.#turnOff(followed);
      for (const key of services) followed.waiting.add(key);
      this.#work();
    }
  }

  /** Labels of a namespace decide about all of its services. */
  #touched(
    view: ClusterView,
    changed: ReadonlySet<string>,
    namespaces: ReadonlySet<string>,
  ): ReadonlySet<string> {
    if (view.options.namespaceSelector === undefined || namespaces.size === 0) return changed;
    const all = new Set(changed);
    for (const [key, { namespace }] of this.#cluster.services) if (namespaces.has(namespace)) all.add(key);
    return all;
  }

  #freeId(old: readonly FollowedView[]): number {
    const taken = new Set(old.map(({ id }) => id));
    do this.#nextId = (this.#nextId + 1) % 255;
    while (taken.has(this.#nextId));
    return this.#nextId;
  }

  #fill(followed: FollowedView): void {
    for (const name of this.#cluster.namespaces.keys()) this.#putNamespace(followed, name);
    followed.waiting = new Set(this.#cluster.services.keys());
    this.#work();
  }

  #work(): void {
    if (this.#isWorking) return;
    this.#isWorking = true;
    this.#defer(() => {
      this.#isWorking = false;
      let left = PORTION;
      for (const followed of this.#views) {
        if (followed.isOn || followed.isUnfit) continue;
        for (const key of followed.waiting) {
          if (left-- === 0) return this.#work();
          followed.waiting.delete(key);
          this.#putService(followed, key);
        }
        if (followed.isUnfit) continue;
        // What is missing before the first complete state may yet come.
        if (!this.#cluster.synced) continue;
        followed.isOn = true;
        this.#engine.setView(followed.id, "on");
      }
    });
  }

  #putNamespace({ id, view }: FollowedView, name: string): void {
    if (view.hasNamespace(name)) this.#engine.putName(namespaceName(id, name));
    else this.#engine.removeName(id, [name]);
  }

  #turnOff(followed: FollowedView): void {
    this.#engine.setView(followed.id, "off");
    followed.isOn = false;
  }

  #putService(followed: FollowedView, key: string): void {
    const { id, view } = followed;
    const entry = view.service(key);
    const name = entry === undefined ? undefined : serviceName(view, id, entry);
    if (entry === undefined || name === undefined) {
      const dot = key.indexOf(".");
      this.#engine.removeName(id, [key.slice(0, dot), key.slice(dot + 1)]);
      return;
    }
    if (this.#engine.putName(name) || this.#engine.putName(leftName(view, id, entry))) return;
    followed.isUnfit = true;
    this.#turnOff(followed);
  }
}

function engineView(id: number, { options }: ClusterView): EngineView {
  const { pods, ttlSeconds, primaryZone, zones, fallthrough = [] } = options;
  return { id, pods, ttlSeconds, primaryZone, zones, fallthrough };
}
