/**
 * Layer agent. The virtual servers of one family: writes what differs from what is believed, drains, looks after what others
 * changed. A refused operation makes its virtual server be read anew and tried once more. Knows no timers.
 */
import type { IpvsDriver, IpvsFailure } from "../../../drivers/ipvs/driver.ts";
import type { IpFamily } from "../../../model/ip.ts";
import type { IpvsDestinationState, IpvsOp, IpvsServer, IpvsService } from "../../../model/ipvs.ts";
import { ipvsServiceKey } from "../../../model/ipvs.ts";
import { IpvsSteps, ServerBook } from "../../../plan/ipvs/server-book.ts";
import type { ReconcileClock } from "../clock.ts";

/** Dumps of destinations between two turns of the event loop: about 20 µs each. */
const DUMPS_A_TURN = 100;
/** Virtual servers whose destinations are compared in one look; all get their turn. */
const COMPARED_A_LOOK = 1_000;

/** What virtual servers are to be, by {@link ipvsServiceKey}. */
export interface WantedServers {
  server(key: string): IpvsServer | undefined;
}

export interface IpvsServersOptions {
  readonly family: IpFamily;
  readonly driver: IpvsDriver;
  readonly clock: ReconcileClock;
  /** How long a destination may drain. */
  readonly drainLimitMs: number;
}

export class IpvsServers {
  readonly #options: IpvsServersOptions;
  readonly #book = new ServerBook();
  readonly counters = { operations: 0, failed: 0, drained: 0 };
  #nextCompared = 0;

  constructor(options: IpvsServersOptions) {
    this.#options = options;
  }

  get book(): Omit<ServerBook, "load" | "forget" | "done"> {
    return this.#book;
  }

  /**
   * Reads everything and takes over what is ours, with what drains.
   * @returns virtual servers with an established connection
   */
  async load(isOurs: (service: IpvsService, key: string) => boolean): Promise<ReadonlySet<string>> {
    const now = this.#options.clock.monotonicMs();
    const busy = new Set<string>();
    for (const key of [...this.#book.keys()]) this.#book.forget(key);
    for (const state of await this.#options.driver.read()) {
      const { service, destinations } = state;
      const key = ipvsServiceKey(service);
      if (service.family !== this.#options.family || !isOurs(service, key)) continue;
      this.#book.load(state, now);
      if (destinations.some(({ activeConnections }) => activeConnections > 0)) busy.add(key);
    }
    return busy;
  }

  /** Brings virtual servers to what is wanted. @returns what the kernel refused twice, by key */
  async settle(keys: Iterable<string>, wanted: WantedServers): Promise<ReadonlyMap<string, IpvsFailure>> {
    const all = [...keys];
    const first = await this.#send(all, wanted);
    if (first.size > 0) this.#reread(first.keys());
    const failed = first.size === 0 ? first : await this.#send([...first.keys()], wanted);
    // What has just lost its last connection, or never had one, need not wait for the next look.
    const draining = new Set(this.#book.drainingKeys());
    await this.#drain(
      all.filter((key) => draining.has(key)),
      wanted,
    );
    return failed;
  }

  /** Removes what has drained. */
  async drain(wanted: WantedServers): Promise<void> {
    await this.#drain(this.#book.drainingKeys(), wanted);
  }

  /** Compares with the kernel: all virtual servers, and the destinations of some. @returns those that somebody changed */
  async compare(): Promise<readonly string[]> {
    const { driver, family, clock } = this.#options;
    const services = new Map<string, IpvsService>();
    for (const service of driver.readServices())
      if (service.family === family) services.set(ipvsServiceKey(service), service);
    const known = [...this.#book.keys()];
    const odd = new Set(known.filter((key) => !isSame(this.#book.service(key), services.get(key))));
    const start = this.#nextCompared < known.length ? this.#nextCompared : 0;
    const some = known.slice(start, start + COMPARED_A_LOOK);
    this.#nextCompared = start + some.length;
    for (const [i, key] of some.entries()) {
      const service = services.get(key);
      if (service === undefined || odd.has(key)) continue;
      if (!this.#book.isAs(key, { service, destinations: driver.readDestinations(service) })) odd.add(key);
      if (i % DUMPS_A_TURN === DUMPS_A_TURN - 1) await clock.yieldTurn();
    }
    if (odd.size > 0) this.#reread(odd);
    return [...odd];
  }

  async #send(keys: readonly string[], wanted: WantedServers): Promise<Map<string, IpvsFailure>> {
    const steps = new IpvsSteps();
    for (const key of keys) this.#book.plan(key, wanted.server(key), steps);
    return this.#commit(steps.ops());
  }

  async #commit(ops: readonly IpvsOp[]): Promise<Map<string, IpvsFailure>> {
    const failed = new Map<string, IpvsFailure>();
    if (ops.length === 0) return failed;
    const { driver, clock } = this.#options;
    const failures = new Map((await driver.commit(ops)).map((failure) => [failure.opIndex, failure]));
    const now = clock.monotonicMs();
    this.counters.operations += ops.length;
    ops.forEach((op, index) => {
      const failure = failures.get(index);
      if (failure === undefined || isGone(op, failure)) this.#book.done(op, now);
      else {
        this.counters.failed++;
        const key = ipvsServiceKey(op.service);
        if (!failed.has(key)) failed.set(key, failure);
      }
    });
    return failed;
  }

  async #drain(keys: readonly string[], wanted: WantedServers): Promise<void> {
    const { driver, clock, drainLimitMs: limitMs } = this.#options;
    const ops: IpvsOp[] = [];
    const nowMs = clock.monotonicMs();
    for (const [i, key] of keys.entries()) {
      const service = this.#book.service(key);
      if (service === undefined) continue;
      const states: readonly IpvsDestinationState[] = driver.readDestinations(service);
      const isWanted = wanted.server(key) !== undefined;
      ops.push(...this.#book.planDrained(key, states, { isWanted, nowMs, limitMs }));
      if (i % DUMPS_A_TURN === DUMPS_A_TURN - 1) await clock.yieldTurn();
    }
    this.counters.drained += ops.length;
    const failed = await this.#commit(ops);
    if (failed.size > 0) this.#reread(failed.keys());
  }

  /** Believes what the kernel says of these. */
  #reread(keys: Iterable<string>): void {
    const { driver, clock } = this.#options;
    const now = clock.monotonicMs();
    const services = new Map(driver.readServices().map((service) => [ipvsServiceKey(service), service]));
    for (const key of keys) {
      const service = services.get(key);
      if (service === undefined) this.#book.forget(key);
      else this.#book.load({ service, destinations: driver.readDestinations(service) }, now);
    }
  }
}

function isSame(a: IpvsService | undefined, b: IpvsService | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.scheduler === b.scheduler && a.flags === b.flags && a.timeoutSeconds === b.timeoutSeconds;
}

/** It was to go, and is gone. */
function isGone({ op }: IpvsOp, { code }: IpvsFailure): boolean {
  return (op === "delete-service" || op === "delete-destination") && (code === "ESRCH" || code === "ENOENT");
}
