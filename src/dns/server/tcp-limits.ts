/** Layer dns. Limits of DNS over TCP and TLS. */

export interface TcpLimits {
  readonly maxConnections: number;
  readonly maxConnectionsPerClient: number;
  /** Queries in work over all connections, and over those of one client; who sends one more loses the connection. */
  readonly maxPending: number;
  readonly maxPendingPerClient: number;
  /** Queries of one connection in work; more are read when one is done. */
  readonly maxPipelined: number;
  /** Time for the rest of a query that has begun. */
  readonly readTimeoutMs: number;
  /** Time without a query. */
  readonly idleTimeoutMs: number;
  /** A client that takes this long to accept its replies is cut off. */
  readonly writeTimeoutMs: number;
  /** Queries on one connection; 0 is without limit. */
  readonly maxQueries: number;
}

export const TCP_LIMITS: TcpLimits = {
  maxConnections: 4_000,
  maxConnectionsPerClient: 500,
  maxPending: 10_000,
  maxPendingPerClient: 2_000,
  maxPipelined: 100,
  readTimeoutMs: 3_000,
  idleTimeoutMs: 10_000,
  writeTimeoutMs: 5_000,
  maxQueries: 0,
};
