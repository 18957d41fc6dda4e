/**
 * Layer dns. The native engine in front of the plugin chain: its table follows the cluster and the configuration, its
 * listeners stand in the place of Node's UDP sockets. Packets that it hands up go through the chain as ever.
 */
import { availableParallelism } from "node:os";
import { isSystemError } from "../../drivers/addon.ts";
import {
  type EngineVerdict,
  openUdpEngine,
  type UdpEngine,
  type UpPacket,
} from "../../drivers/udp-engine/index.ts";
import type { Client } from "../query.ts";
import type { Runtime } from "../runtime.ts";
import type { Instance } from "../server/instance.ts";
import type { Answered, Reply } from "../server/responder.ts";
import { UDP_LIMITS } from "../server/udp-listener.ts";
import { EngineAnswers } from "./engine-answers.ts";
import { engineBlocks } from "./engine-blocks.ts";
import { EngineForwards } from "./engine-forwards.ts";
import { CounterSlots, collectEngineMetrics } from "./engine-metrics.ts";
import { NameFeed } from "./name-feed.ts";
import { type ListenerZones, nameRoutes } from "./name-routes.ts";
import { NameTags } from "./name-tags.ts";

export type EngineRespond = (
  packet: Uint8Array,
  client: Client,
  verdict?: EngineVerdict,
) => Reply | Promise<Reply>;

/** Of learned answers: as many as a full `cache` of the default size has, and as many of cluster names. */
const MAX_TABLE_BYTES = 12 * 1024 * 1024;
const MAX_THREADS = 4;
const MAX_LISTENERS = 256;

export class DnsEngine {
  readonly #engine: UdpEngine;
  readonly #answers: EngineAnswers;
  readonly #names: NameFeed;
  readonly #forwards: EngineForwards;
  readonly #slots = new CounterSlots();
  readonly #listeners = new Map<number, EngineListener>();
  #isConfigured = false;

  /** @returns `undefined` when the addon is not there */
  static open(runtime: Runtime): DnsEngine | undefined {
    const opened: DnsEngine[] = [];
    const engine = openUdpEngine(
      MAX_TABLE_BYTES,
      (packet) => opened[0]?.onPacket(packet),
      () => opened[0]?.onForwarding(),
    );
    if (engine === undefined) return undefined;
    const made = new DnsEngine(engine, runtime);
    opened.push(made);
    return made;
  }

  constructor(engine: UdpEngine, runtime: Runtime) {
    this.#engine = engine;
    const { cluster } = runtime;
    const slots = this.#slots;
    const tags = new NameTags((tag, generation) => engine.setGeneration(tag, generation));
    this.#answers = new EngineAnswers({ cluster, tags, slots, publish: (answer) => engine.publish(answer) });
    this.#names = new NameFeed(engine, cluster, setImmediate);
    this.#forwards = new EngineForwards(engine);
    engine.setSerial(cluster.serial);
    cluster.onCommit((changed, batch) => {
      tags.onCommit(cluster, changed, batch);
      engine.setSerial(cluster.serial);
      this.#names.onCommit(changed, cluster.touchedNamespaces);
    });
    collectEngineMetrics(runtime.metrics, engine, slots);
    this.#forwards.collect(runtime.metrics);
  }

  /** A new configuration answers, on these listeners: what the old one said is forgotten. */
  use(instance: Instance, listeners: readonly ListenerZones[]): void {
    const blocks = engineBlocks(instance);
    this.#answers.use(blocks);
    const followed = [...blocks.values()].flatMap(({ kubernetes }) => kubernetes?.view ?? []);
    const { views, drop } = this.#names.use(followed);
    const viewOf = new Map(followed.map((view, i) => [view, views[i]?.id]));
    const { groups, groupOf } = this.#forwards.compile(blocks);
    const routes = nameRoutes(listeners, { blocks, viewOf, slots: this.#slots, groupOf });
    this.#engine.configure(views, routes, groups);
    drop();
    if (this.#isConfigured) this.#engine.flush();
    this.#forwards.start();
    this.#isConfigured = true;
  }

  learn(answered: Answered): void {
    this.#answers.learn(answered);
  }

  /** @returns `undefined` when there are too many listeners */
  listener(respond: EngineRespond): EngineListener | undefined {
    let id = 0;
    while (this.#listeners.has(id)) id++;
    if (id >= MAX_LISTENERS) return undefined;
    const listener = new EngineListener(id, this.#engine, respond, () => this.#listeners.delete(id));
    this.#listeners.set(id, listener);
    return listener;
  }

  /** Queries on their way to an upstream. */
  get inWork(): number {
    return this.#forwards.inWork;
  }

  close(): void {
    this.#engine.close();
  }

  onForwarding(): void {
    this.#forwards.onNews();
  }

  onPacket(packet: UpPacket): void {
    this.#listeners.get(packet.listener)?.onPacket(packet);
  }
}

/** One address of the engine, with the limits of {@link UDP_LIMITS} on what waits in the chain. */
export class EngineListener {
  readonly id: number;
  readonly #engine: UdpEngine;
  readonly #respond: EngineRespond;
  readonly #onClose: () => void;
  readonly #perClient = new Map<string, number>();
  #port = 0;
  #pending = 0;
  #isClosed = false;

  constructor(id: number, engine: UdpEngine, respond: EngineRespond, onClose: () => void) {
    this.id = id;
    this.#engine = engine;
    this.#respond = respond;
    this.#onClose = onClose;
  }

  get pending(): number {
    return this.#pending;
  }

  /** @throws the system's error when the address cannot be had */
  open(host: string, port: number): void {
    this.#port = port;
    try {
      this.#engine.listen(this.id, host, port, Math.min(MAX_THREADS, availableParallelism()));
    } catch (error) {
      this.close();
      throw isSystemError(error) ? new Error(`${error.syscall} ${error.code} ${host}:${port}`) : error;
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#engine.unlisten(this.id);
    this.#onClose();
  }

  onPacket(packet: UpPacket): void {
    const { address, port, localAddress } = packet;
    const waiting = this.#perClient.get(address) ?? 0;
    if (this.#pending >= UDP_LIMITS.maxPending || waiting >= UDP_LIMITS.maxPendingPerClient) return;
    const client: Client = { transport: "udp", address, port, localAddress, localPort: this.#port };
    const reply = this.#respond(packet.bytes, client, packet.verdict);
    if (!(reply instanceof Promise)) {
      if (reply instanceof Buffer) this.#engine.reply(packet, reply);
      return;
    }
    this.#pending++;
    this.#perClient.set(address, waiting + 1);
    reply.then(
      (bytes) => {
        if (bytes instanceof Buffer && !this.#isClosed) this.#engine.reply(packet, bytes);
        this.#done(address);
      },
      () => this.#done(address),
    );
  }

  #done(address: string): void {
    this.#pending--;
    const waiting = (this.#perClient.get(address) ?? 1) - 1;
    if (waiting === 0) this.#perClient.delete(address);
    else this.#perClient.set(address, waiting);
  }
}
