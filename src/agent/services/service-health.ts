/**
 * Layer agent. healthCheckNodePort: one HTTP listener per Service of type LoadBalancer with externalTrafficPolicy Local,
 * which tells a load balancer whether this node has ready local endpoints (facts of kube-proxy, row 80).
 * Serves what it is given; who is local and ready is decided elsewhere.
 */
import type { IpAddress } from "../../model/ip.ts";
import type { Clock } from "../clock.ts";
import { HttpListener, type HttpReply } from "../health/http-listener.ts";
import type { Logger } from "../log.ts";

/** What one Service wants to have answered. */
export interface ServiceHealth {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** 1–65535. */
  readonly port: number;
  /** Distinct addresses of ready endpoints on this node, over all ports. */
  readonly localEndpoints: number;
}

export interface ServiceHealthOptions {
  /** Addresses to listen on, asked when a listener is opened; `undefined` is every address. */
  readonly addresses: () => readonly IpAddress[] | undefined;
  readonly isHealthy: () => boolean;
  readonly log: Logger;
  readonly clock: Clock;
  readonly onBindFailure: (service: ServiceHealth, message: string) => void;
}

interface Entry {
  health: ServiceHealth;
  readonly listeners: readonly HttpListener[];
}

export class ServiceHealthServers {
  readonly #options: ServiceHealthOptions;
  readonly #entries = new Map<string, Entry>();

  constructor(options: ServiceHealthOptions) {
    this.#options = options;
  }

  /** Opens, updates and closes listeners so that exactly `wanted` is answered. A changed port is a new listener. */
  async set(wanted: readonly ServiceHealth[]): Promise<void> {
    const keys = new Map(
      wanted.map((health) => [`${health.namespace}/${health.name}:${health.port}`, health]),
    );
    for (const [key, entry] of this.#entries) {
      if (keys.has(key)) continue;
      this.#entries.delete(key);
      for (const listener of entry.listeners) await listener.close();
    }
    for (const [key, health] of keys) {
      const existing = this.#entries.get(key);
      if (existing === undefined) await this.#open(key, health);
      else existing.health = health;
    }
  }

  async close(): Promise<void> {
    await this.set([]);
  }

  async #open(key: string, health: ServiceHealth): Promise<void> {
    const { addresses, log, clock, onBindFailure } = this.#options;
    const hosts: readonly (string | undefined)[] = addresses() ?? [undefined];
    const listeners = hosts.map(
      (host) =>
        new HttpListener({
          name: `health check of ${key}`,
          listen: { port: health.port, ...(host === undefined ? {} : { host }) },
          hardFail: false,
          log,
          clock,
          onBindFailure: (message) => onBindFailure(health, message),
          handle: () => this.#reply(key),
        }),
    );
    this.#entries.set(key, { health, listeners });
    for (const listener of listeners) await listener.open();
  }

  #reply(key: string): HttpReply {
    const health = this.#entries.get(key)?.health;
    const localEndpoints = health?.localEndpoints ?? 0;
    const isHealthy = this.#options.isHealthy();
    const body = {
      service: { namespace: health?.namespace ?? "", name: health?.name ?? "" },
      localEndpoints,
      serviceProxyHealthy: isHealthy,
    };
    return {
      status: localEndpoints > 0 && isHealthy ? 200 : 503,
      contentType: "application/json",
      headers: { "X-Load-Balancing-Endpoint-Weight": String(localEndpoints) },
      body: JSON.stringify(body),
    };
  }
}
