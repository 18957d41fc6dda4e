/** Layer control-plane. The kinds that this server knows, found by the names that clients use. */
import { apiVersionOf, type Kind, resourceOf, storePrefix } from "./kind.ts";

export class Registry {
  /** In the order in which they were registered. */
  readonly kinds: readonly Kind[];
  /** The kind whose objects are the namespaces of the others. */
  readonly namespaceKind: Kind | undefined;
  readonly #byPath = new Map<string, Kind>();
  readonly #byResource = new Map<string, Kind>();

  /** @throws when two kinds claim one name: a broken build */
  constructor(kinds: readonly Kind[]) {
    this.kinds = kinds;
    this.namespaceKind = kinds.find(({ isNamespace }) => isNamespace === true);
    for (const kind of kinds) {
      const path = `${apiVersionOf(kind)}/${kind.plural}`;
      if (this.#byPath.has(path)) throw new Error(`two kinds are called ${path}`);
      this.#byPath.set(path, kind);
      const resource = resourceOf(kind);
      if (!this.#byResource.has(resource)) this.#byResource.set(resource, kind);
    }
  }

  /** By what a request path says. */
  find(group: string, version: string, plural: string): Kind | undefined {
    return this.#byPath.get(`${apiVersionOf({ group, version })}/${plural}`);
  }

  /** `services`, `endpointslices.discovery.k8s.io`. @throws for a resource that no kind serves: a programming error */
  require(resource: string): Kind {
    const kind = this.#byResource.get(resource);
    if (kind === undefined) throw new Error(`no kind serves ${resource}`);
    return kind;
  }

  /** Store prefixes of the kinds that keep no history. */
  static ephemeralPrefixes(kinds: readonly Kind[]): readonly string[] {
    return [...new Set(kinds.filter(({ ephemeral }) => ephemeral === true).map((kind) => storePrefix(kind)))];
  }
}
