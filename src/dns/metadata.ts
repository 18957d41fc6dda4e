/**
 * Layer dns. What plugins know of a query beyond its message (`kubernetes/namespace`, `view/name` …), collected where a block has
 * the `metadata` plugin and read by `log`, `rewrite`, `template` and `view`. Worked out when it is asked for.
 */
import type { DnsQuery } from "./query.ts";

/** @returns undefined for a label that is not the provider's, or has no value */
export type MetadataProvider = (query: DnsQuery, label: string) => string | undefined;

export class QueryMetadata {
  readonly #query: DnsQuery;
  readonly #providers: readonly MetadataProvider[];
  readonly #set = new Map<string, string>();

  /** @param query as the client sent it: rewritten names do not change what is known */
  constructor(query: DnsQuery, providers: readonly MetadataProvider[]) {
    this.#query = query;
    this.#providers = providers;
  }

  get(label: string): string | undefined {
    const own = this.#set.get(label);
    if (own !== undefined) return own;
    for (const provider of this.#providers) {
      const value = provider(this.#query, label);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  /** What becomes known on the way. */
  set(label: string, value: string): void {
    this.#set.set(label, value);
  }
}
