/**
 * Layer agent. healthCheckNodePort: one HTTP listener per Service of type LoadBalancer with externalTrafficPolicy Local,
 * which tells a load balancer whether this node has ready local endpoints (kube-proxy 1.33, pkg/proxy/healthcheck/service_health.go).
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
  /** Addresses to listen on, asked each time that something is set; `undefined` is every address. */
  readonly addresses: () => readonly IpAddress[] | undefined;
  readonly isHealthy: () => boolean;
  readonly log: Logger;
  readonly clock: Clock;
  readonly onBindFailure: (service: ServiceHealth, message: string) => void;
}

interface Entry {
  health: ServiceHealth;
  /** By address; "" is every address. */
  readonly listeners: Map<string, HttpListener>;
}

export class ServiceHealthServers {
  readonly #options: ServiceHealthOptions;
  readonly #entries = new Map<string, Entry>();

  constructor(options: ServiceHealthOptions) {
    this.#options = options;
  }

  /**
   * Opens, updates and closes listeners so that exactly `wanted` is answered, on the addresses of now. A changed port is a
   * new listener.
   */
  async set(wanted: readonly ServiceHealth[]): Promise<void> {
    const hosts = wanted.length === 0 ? [] : (this.#options.addresses() ?? [""]);
    const keys = new Map(
      wanted.map((health) => [`${health.namespace}/${health.name}:${health.port}`, health]),
    );
    for (const [key, { listeners }] of this.#entries) {
      if (keys.has(key)) continue;
      this.#entries.delete(key);
      for (const listener of listeners.values()) await listener.close();
    }
    for (const [key, health] of keys) {
      const entry = this.#entries.get(key) ?? { health, listeners: new Map<string, HttpListener>() };
      entry.health = health;
      this.#entries.set(key, entry);
      await this.#listen(key, entry, hosts);
    }
  }

  async close(): Promise<void> {
    await this.set([]);
  }

  async #listen(key: string, { health, listeners }: Entry, hosts: readonly string[]): Promise<void> {
    for (const [host, listener] of listeners) {
      if (hosts.includes(host)) continue;
      listeners.delete(host);
      await listener.close();
    }
    const { log, clock, onBindFailure } = this.#options;
    for (const host of hosts) {
      if (listeners.has(host)) continue;
      const listener = new HttpListener({
        name: `health check of ${key}`,
        listen: { port: health.port, ...(host === "" ? {} : { host }) },
        hardFail: false,
        log,
        clock,
        onBindFailure: (message) => onBindFailure(health, message),
        handle: () => this.#reply(key),
      });
      listeners.set(host, listener);
      await listener.open();
    }
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
