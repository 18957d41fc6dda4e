/**
 * Layer control-plane. The store as an ObjectSource: API objects are read and trimmed once for each change. Removals
 * since the store's oldest revision are read from its log, so that a restart of the control plane causes no snapshots.
 */
import { parseKubernetesObject } from "../../model/kubernetes/parse-object.ts";
import { formatKey, type ObjectKey, type ObjectKind, type ObjectProblem } from "../../model/objects.ts";
import type { Change, Entry, Store, WatchGroup } from "../store/store.ts";
import type {
  ObjectSource,
  ReportProblems,
  SourceChange,
  SourceGroup,
  SourceListener,
  SourceState,
} from "./object-source.ts";

/** Where the registry keeps the kinds that nodes get: `storePrefix` of each. */
const PREFIXES: Readonly<Record<ObjectKind, string>> = {
  Service: "/objects/core/services/",
  EndpointSlice: "/objects/discovery.k8s.io/endpointslices/",
  Namespace: "/objects/core/namespaces/",
  Node: "/objects/core/nodes/",
  ServiceCIDR: "/objects/networking.k8s.io/servicecidrs/",
  Pod: "/objects/core/pods/",
};
const KINDS = Object.entries(PREFIXES) as readonly [ObjectKind, string][];
const PAGE = 500;

export interface StoreSourceOptions {
  readonly store: Store;
  /** An operator said that this store holds, even where it removes most of what nodes have. */
  readonly isAuthoritative?: boolean;
  /** Gets what of an object nodes cannot use; an empty list when that is mended. */
  readonly onProblems?: ReportProblems;
  readonly now?: () => number;
}

export class StoreSource implements ObjectSource {
  readonly isAuthoritative: boolean;
  readonly #store: Store;
  readonly #onProblems: ReportProblems;
  readonly #now: () => number;
  /** Keys with problems that were told. */
  readonly #told = new Map<string, string>();
  /** Groups that were committed since {@link load} began; {@link watch} takes them over. */
  #early: WatchGroup[] = [];
  #stopEarly: (() => void) | undefined;

  constructor(options: StoreSourceOptions) {
    this.#store = options.store;
    this.isAuthoritative = options.isAuthoritative ?? false;
    this.#onProblems = options.onProblems ?? (() => {});
    this.#now = options.now ?? Date.now;
  }

  get epoch(): string {
    return this.#store.epoch;
  }

  async load(): Promise<SourceState> {
    this.#stopEarly?.();
    this.#early = [];
    this.#stopEarly = this.#store.subscribe((group) => this.#early.push(group));
    const revision = this.#store.revision();
    const objects: { object: NonNullable<SourceChange["object"]>; revision: number }[] = [];
    for (const [kind, prefix] of KINDS)
      for await (const entry of this.#entries(prefix, revision)) {
        const object = this.#trim(keyOfEntry(kind, prefix, entry.key), entry);
        if (object !== undefined) objects.push({ object, revision: entry.modRevision });
      }
    objects.sort((a, b) => a.revision - b.revision);
    return { revision, objects, ...(await this.#removals(revision)) };
  }

  watch(from: number, listener: SourceListener): () => void {
    const tell = (group: WatchGroup): void => {
      if (group.revision > from) listener.changes(this.#group(group));
    };
    this.#stopEarly?.();
    this.#stopEarly = undefined;
    const early = this.#early;
    this.#early = [];
    for (const group of early) tell(group);
    return this.#store.subscribe(tell);
  }

  async *#entries(prefix: string, revision: number): AsyncGenerator<Entry> {
    let after: string | undefined;
    for (;;) {
      const page = await this.#store.list({
        prefix,
        revision,
        limit: PAGE,
        ...(after === undefined ? {} : { after }),
      });
      yield* page.entries;
      after = page.entries.at(-1)?.key;
      if (page.remaining === 0 || after === undefined) return;
    }
  }

  /** Removals that the store's log still has, up to `revision`. */
  async #removals(revision: number): Promise<Pick<SourceState, "removals" | "oldestRevision">> {
    const oldestRevision = this.#store.compactRevision();
    const all: { key: ObjectKey; revision: number }[] = [];
    for (const [kind, prefix] of KINDS) {
      const found = await this.#deletions(prefix, oldestRevision, revision);
      // Compacted meanwhile: nobody can resume from before this moment.
      if (found === undefined) return { removals: [], oldestRevision: revision };
      for (const { entry } of found)
        all.push({ key: keyOfEntry(kind, prefix, entry.key), revision: entry.modRevision });
    }
    return { removals: all.sort((a, b) => a.revision - b.revision), oldestRevision };
  }

  async #deletions(prefix: string, from: number, to: number): Promise<readonly Change[] | undefined> {
    const found: Change[] = [];
    return await new Promise((resolve) => {
      const watch = this.#store.watch(
        { prefix, from },
        {
          changes: (group) => {
            for (const change of group.changes)
              if (change.type === "delete" && change.entry.modRevision <= to) found.push(change);
            if (group.revision < to) return;
            watch.cancel();
            resolve(found);
          },
          ended: () => resolve(undefined),
        },
      );
    });
  }

  #group(group: WatchGroup): SourceGroup {
    const changes: SourceChange[] = [];
    for (const { type, entry } of group.changes) {
      const place = KINDS.find(([, prefix]) => entry.key.startsWith(prefix));
      if (place === undefined) continue;
      const key = keyOfEntry(place[0], place[1], entry.key);
      const object = type === "delete" ? undefined : this.#trim(key, entry);
      if (type === "delete") this.#tell(key, []);
      changes.push({ key, object, revision: entry.modRevision });
    }
    return { changes, revision: group.revision, changedAtMs: changes.length === 0 ? 0 : this.#now() };
  }

  /** The trimmed object; `undefined` when nodes cannot use it at all. */
  #trim(key: ObjectKey, entry: Entry): SourceChange["object"] {
    const { objects, problems } = parseKubernetesObject(JSON.parse(entry.value));
    this.#tell(key, problems);
    return objects[0];
  }

  #tell(key: ObjectKey, problems: readonly ObjectProblem[]): void {
    const name = formatKey(key);
    const text = problems.length === 0 ? undefined : JSON.stringify(problems);
    if (this.#told.get(name) === text) return;
    if (text === undefined) this.#told.delete(name);
    else this.#told.set(name, text);
    this.#onProblems(key, problems);
  }
}

/** `…/namespace/name` or `…/name` behind the prefix of the kind. */
function keyOfEntry(kind: ObjectKind, prefix: string, storeKey: string): ObjectKey {
  const rest = storeKey.slice(prefix.length);
  const slash = rest.indexOf("/");
  return slash < 0
    ? { kind, namespace: "", name: rest }
    : { kind, namespace: rest.slice(0, slash), name: rest.slice(slash + 1) };
}
