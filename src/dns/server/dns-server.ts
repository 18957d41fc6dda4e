/**
 * Layer dns. The running server: opens listeners, swaps configurations without losing a query (sockets of addresses that
 * stay are kept), drains at the end.
 */
import type { TlsOptions } from "node:tls";
import { RCODE } from "../../codec/dns/constants.ts";
import type { EngineVerdict } from "../../drivers/udp-engine/driver.ts";
import { NodeplaneError } from "../../model/errors.ts";
import type { DnsEngine, EngineListener, EngineRespond } from "../engine/engine.ts";
import type { Client } from "../query.ts";
import type { Runtime } from "../runtime.ts";
import { formatListener, type ListenerSpec, type ZoneTable } from "./block.ts";
import { HttpEndpoints } from "./http-endpoints.ts";
import { HttpsListener } from "./https-listener.ts";
import type { Instance } from "./instance.ts";
import { Responder, type Target } from "./responder.ts";
import { TCP_LIMITS, type TcpLimits } from "./tcp-limits.ts";
import { TcpListener } from "./tcp-listener.ts";
import { UdpListener } from "./udp-listener.ts";

const DRAIN_MS = 5_000;
const DRAIN_STEP_MS = 20;
/** How many ports of the system's choice are tried. */
const MAX_PORTS = 5;

/** Sockets of one address and the table that they answer from now. */
class Listener {
  readonly spec: ListenerSpec;
  target: Target;
  udp: UdpListener | EngineListener | undefined;
  /** Set when the native engine has the UDP sockets. */
  engineId: number | undefined;
  tcp: TcpListener | undefined;
  https: HttpsListener | undefined;
  port: number;

  constructor(spec: ListenerSpec, zones: ZoneTable) {
    this.spec = spec;
    this.port = spec.port;
    this.target = { zones, server: formatListener(spec) };
  }

  answerFrom(zones: ZoneTable): void {
    const engine = this.engineId === undefined ? {} : { engineId: this.engineId };
    this.target = { zones, server: formatListener(this.spec), ...engine };
  }

  close(): void {
    this.udp?.close();
    this.tcp?.close();
    this.https?.close();
  }
}

export class DnsServer {
  readonly #responder: Responder;
  readonly #http = new HttpEndpoints();
  #listeners = new Map<string, Listener>();
  readonly #engine: DnsEngine | undefined;
  readonly #onHttps: (server: string, status: number) => void;
  #instance: Instance | undefined;
  #background: AbortController | undefined;

  /** @param engine answers UDP where it can; without it Node's sockets do */
  constructor(runtime: Runtime, engine?: DnsEngine) {
    this.#engine = engine;
    const panics = runtime.metrics.counter("coredns_panics_total", "Plugins that crashed on a query.");
    const responses = runtime.metrics.counter("coredns_dns_responses_total", "Replies sent.", [
      "server",
      "zone",
      "view",
      "rcode",
      "plugin",
    ]);
    panics.child();
    const labels = ["server", "status"];
    const https = runtime.metrics.counter(
      "coredns_dns_https_responses_total",
      "Responses over HTTPS.",
      labels,
    );
    this.#onHttps = (server, status) => https.child(server, String(status)).add();
    this.#responder = new Responder({
      log: runtime.log,
      monotonicMs: () => performance.now(),
      nowSeconds: () => runtime.now() / 1000,
      ...(engine === undefined ? {} : { onAnswered: (answered) => engine.learn(answered) }),
      onCrash: () => panics.child().add(),
      onDropped: (server, rcode) => responses.child(server, "dropped", "", rcodeLabel(rcode), "").add(),
    });
  }

  get instance(): Instance | undefined {
    return this.#instance;
  }

  /**
   * Makes a configuration the one that answers. When something cannot be opened the old one goes on unchanged.
   * @throws {NodeplaneError} CONFIG_INVALID naming the address
   */
  async apply(instance: Instance): Promise<void> {
    const next = new Map<string, Listener>();
    const opened: Listener[] = [];
    try {
      for (const { spec, zones, tls, tcpLimits } of instance.listeners) {
        const name = formatListener(spec);
        const known = this.#listeners.get(name);
        const listener = known ?? new Listener(spec, zones);
        next.set(name, listener);
        if (known === undefined) {
          opened.push(listener);
          await this.#open(listener, tls, tcpLimits);
        }
      }
      await this.#http.open(instance.pages);
    } catch (error) {
      for (const listener of opened) listener.close();
      throw error;
    }
    for (const { spec, zones } of instance.listeners) {
      next.get(formatListener(spec))?.answerFrom(zones);
    }
    this.#engine?.use(
      instance,
      [...next.values()].flatMap(({ engineId, target }) =>
        engineId === undefined ? [] : { id: engineId, server: target.server, zones: target.zones },
      ),
    );
    for (const [name, listener] of this.#listeners) if (!next.has(name)) listener.close();
    this.#listeners = next;
    this.#http.use(instance.pages);
    this.#background?.abort();
    this.#background = new AbortController();
    this.#instance = instance;
    await instance.start(this.#background.signal);
  }

  /** Where DNS is answered, with the ports that the system chose: `dns://127.0.0.1:5353`. */
  addresses(): readonly string[] {
    return [...this.#listeners.values()].map((listener) =>
      formatListener({ ...listener.spec, port: listener.port }),
    );
  }

  /** Ports of HTTP pages, by address as configured. */
  httpAddresses(): readonly string[] {
    return [...(this.#instance?.pages.keys() ?? [])].map((key) => {
      const port = this.#http.port(key);
      return port === undefined ? key : `${key.slice(0, key.lastIndexOf(":"))}:${port}`;
    });
  }

  /** Stops: no new connections, answers what is in work (at most 5 seconds), closes. */
  async stop(): Promise<void> {
    const listeners = [...this.#listeners.values()];
    for (const listener of listeners) listener.tcp?.stopAccepting();
    const until = performance.now() + DRAIN_MS;
    const pending = (): number =>
      (this.#engine?.inWork ?? 0) +
      listeners.reduce(
        (sum, { udp, tcp, https }) => sum + (udp?.pending ?? 0) + (tcp?.pending ?? 0) + (https?.pending ?? 0),
        0,
      );
    while (pending() > 0 && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_STEP_MS));
    }
    for (const listener of listeners) listener.close();
    this.#engine?.close();
    this.#background?.abort();
    this.#http.close();
  }

  async #open(listener: Listener, tls: TlsOptions | undefined, tcpLimits: Partial<TcpLimits>): Promise<void> {
    const { spec } = listener;
    const respond = (packet: Uint8Array, client: Client, verdict?: EngineVerdict) =>
      this.#responder.respond(packet, client, listener.target, verdict);
    try {
      if (spec.scheme === "https") {
        const server = formatListener(spec);
        listener.https = new HttpsListener(respond, (status) => this.#onHttps(server, status));
        listener.port = await listener.https.open(spec.host, spec.port, tls ?? {});
        return;
      }
      const limits = { ...TCP_LIMITS, ...tcpLimits };
      if (spec.scheme !== "tls") return await this.#openBoth(listener, respond, limits);
      listener.tcp = new TcpListener(respond, limits);
      listener.port = await listener.tcp.open(spec.host, spec.port, tls);
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      throw new NodeplaneError(
        "CONFIG_INVALID",
        { object: formatListener(spec), detail: `cannot listen: ${detail}` },
        error,
      );
    }
  }

  /** TCP and UDP on one port. One that the system chose for TCP (port 0) can be in use for UDP: then on another one. */
  async #openBoth(listener: Listener, respond: EngineRespond, limits: TcpLimits): Promise<void> {
    const { spec } = listener;
    for (let attempt = 1; ; attempt++) {
      listener.tcp = new TcpListener(respond, limits);
      listener.port = await listener.tcp.open(spec.host, spec.port);
      try {
        return await this.#openUdp(listener, respond);
      } catch (error) {
        const isInUse = error instanceof Error && error.message.includes("EADDRINUSE");
        if (spec.port !== 0 || !isInUse || attempt === MAX_PORTS) throw error;
        listener.close();
      }
    }
  }

  async #openUdp(listener: Listener, respond: EngineRespond): Promise<void> {
    const { spec, port, target } = listener;
    const native = this.#engine?.listener(respond);
    if (native === undefined) {
      const udp = new UdpListener(respond);
      listener.udp = udp;
      await udp.open(spec.host, port);
      return;
    }
    listener.udp = native;
    native.open(spec.host, port);
    listener.engineId = native.id;
    listener.answerFrom(target.zones);
  }
}

function rcodeLabel(rcode: number): string {
  return Object.entries(RCODE).find(([, value]) => value === rcode)?.[0] ?? String(rcode);
}
