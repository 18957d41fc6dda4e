/**
 * A Corefile as people have them, with questions. `{UP}` is an upstream with the zones of `UPSTREAM_ZONES`, `{PORT}` the port to
 * listen on. A question is `NAME TYPE`, then what applies of `+tcp`, `+do`, `+noedns`, `+nsid`, `+sort` (records in any order),
 * `from=127.0.0.N`.
 */
export interface CorefileCase {
  readonly name: string;
  readonly corefile: string;
  /** Beside the Corefile. */
  readonly files?: Readonly<Record<string, string>>;
  readonly questions: readonly string[];
  /** Why CoreDNS says something else, by question. */
  readonly differences?: Readonly<Record<string, string>>;
}
