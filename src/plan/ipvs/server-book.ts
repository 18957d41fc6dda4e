/**
 * Layer plan. What the kernel's IPVS holds of ours, as far as is known, and the operations that bring it to what is wanted.
 * There are no transactions, so the order is what keeps connections working: new destinations come before old ones get no
 * more; those get weight 0 and go when their connections have ended. Pure; time comes in. See docs/adr/0097.
 */
import type {
  IpvsDestination,
  IpvsDestinationState,
  IpvsOp,
  IpvsServer,
  IpvsServerState,
  IpvsService,
} from "../../model/ipvs.ts";
import { ipvsServiceKey } from "../../model/ipvs.ts";

const UDP = 17;

interface Known {
  service: IpvsService;
  readonly destinations: Map<string, IpvsDestination & { readonly forwarding: "masquerade" | "other" }>;
  /** Destinations with weight 0, since when. */
  readonly draining: Map<string, number>;
}

/** Operations by the step in which they take effect. */
export class IpvsSteps {
  readonly #add: IpvsOp[] = [];
  readonly #change: IpvsOp[] = [];
  readonly #stop: IpvsOp[] = [];
  readonly #remove: IpvsOp[] = [];

  push(step: "add" | "change" | "stop" | "remove", op: IpvsOp): void {
    if (step === "add") this.#add.push(op);
    else if (step === "change") this.#change.push(op);
    else if (step === "stop") this.#stop.push(op);
    else this.#remove.push(op);
  }

  ops(): readonly IpvsOp[] {
    return [...this.#add, ...this.#change, ...this.#stop, ...this.#remove];
  }
}

const nameOf = ({ address, port }: Pick<IpvsDestination, "address" | "port">) => `${address} ${port}`;

export class ServerBook {
  readonly #known = new Map<string, Known>();
  /** Virtual servers with a destination that drains. */
  readonly #draining = new Set<string>();
  #destinations = 0;

  get serverCount(): number {
    return this.#known.size;
  }

  /** Those that drain included. */
  get destinationCount(): number {
    return this.#destinations;
  }

  get drainingCount(): number {
    let count = 0;
    for (const key of this.#draining) count += this.#known.get(key)?.draining.size ?? 0;
    return count;
  }

  keys(): Iterable<string> {
    return this.#known.keys();
  }

  service(key: string): IpvsService | undefined {
    return this.#known.get(key)?.service;
  }

  /** Virtual servers whose connections must be looked at. */
  drainingKeys(): readonly string[] {
    return [...this.#draining];
  }

  /** Takes a virtual server as it was read; what has weight 0 is believed to drain since `nowMs`. */
  load({ service, destinations }: Pick<IpvsServerState, "service" | "destinations">, nowMs: number): void {
    const key = ipvsServiceKey(service);
    const before = this.#known.get(key)?.draining;
    this.forget(key);
    const known: Known = { service, destinations: new Map(), draining: new Map() };
    for (const { address, port, weight, forwarding } of destinations) {
      const name = nameOf({ address, port });
      known.destinations.set(name, { address, port, weight, forwarding });
      if (weight === 0) known.draining.set(name, before?.get(name) ?? nowMs);
    }
    this.#known.set(key, known);
    this.#destinations += known.destinations.size;
    if (known.draining.size > 0) this.#draining.add(key);
  }

  forget(key: string): void {
    this.#destinations -= this.#known.get(key)?.destinations.size ?? 0;
    this.#known.delete(key);
    this.#draining.delete(key);
  }

  /** True when `state` is what is believed. */
  isAs(key: string, { service, destinations }: Pick<IpvsServerState, "service" | "destinations">): boolean {
    const known = this.#known.get(key);
    if (known === undefined || !isSameService(known.service, service)) return false;
    if (known.destinations.size !== destinations.length) return false;
    return destinations.every((one) => {
      const believed = known.destinations.get(nameOf(one));
      return believed?.weight === one.weight && believed.forwarding === one.forwarding;
    });
  }

  /** What brings one virtual server to what is wanted; nothing when it is there but for what drains. */
  plan(key: string, wanted: IpvsServer | undefined, steps: IpvsSteps): void {
    const known = this.#known.get(key);
    if (wanted === undefined) {
      if (known !== undefined) retireServer(known, steps);
      return;
    }
    const { service } = wanted;
    if (known === undefined) steps.push("add", { op: "add-service", service });
    else if (!isSameService(known.service, service)) steps.push("change", { op: "set-service", service });
    const old = new Map(known?.destinations);
    for (const { address, port, weight } of wanted.destinations) {
      const destination = { address, port, weight };
      const name = nameOf(destination);
      const has = old.get(name);
      old.delete(name);
      if (has === undefined) steps.push("add", { op: "add-destination", service, destination });
      else if (has.weight !== weight || has.forwarding !== "masquerade")
        steps.push("change", { op: "set-destination", service, destination });
    }
    for (const destination of old.values()) retire(service, destination, steps);
  }

  /**
   * What may go of a virtual server that drains, by the connections that its destinations have now.
   * @param isWanted false: nothing new comes to it, and it goes as a whole once no connection is established
   * @param limitMs how long a destination may drain
   */
  planDrained(
    key: string,
    has: readonly IpvsDestinationState[],
    options: { readonly isWanted: boolean; readonly nowMs: number; readonly limitMs: number },
  ): readonly IpvsOp[] {
    const known = this.#known.get(key);
    if (known === undefined) return [];
    const { service } = known;
    const states = new Map(has.map((state) => [nameOf(state), state]));
    const isOver = (name: string) => {
      const since = known.draining.get(name);
      if (since === undefined) return false;
      if (options.nowMs - since >= options.limitMs) return true;
      const state = states.get(name);
      // Connections that are being closed need a virtual server that lives on; one that is gone is not kept for them.
      const closing = options.isWanted ? (state?.inactiveConnections ?? 0) : 0;
      return (state?.activeConnections ?? 0) + closing === 0;
    };
    const over = [...known.destinations.keys()].filter(isOver);
    if (!options.isWanted) {
      return over.length === known.destinations.size ? [{ op: "delete-service", service }] : [];
    }
    return over.flatMap((name): IpvsOp[] => {
      const destination = known.destinations.get(name);
      return destination === undefined ? [] : [{ op: "delete-destination", service, destination }];
    });
  }

  /** The kernel has done it. */
  done(op: IpvsOp, nowMs: number): void {
    const key = ipvsServiceKey(op.service);
    switch (op.op) {
      case "add-service":
        this.#known.set(key, { service: op.service, destinations: new Map(), draining: new Map() });
        return;
      case "delete-service":
        this.forget(key);
        return;
      default:
    }
    const known = this.#known.get(key);
    if (known === undefined) return;
    if (op.op === "set-service") known.service = op.service;
    else this.#destinationDone(key, known, op, nowMs);
  }

  #destinationDone(
    key: string,
    known: Known,
    op: Extract<IpvsOp, { readonly destination: unknown }>,
    nowMs: number,
  ): void {
    const name = nameOf(op.destination);
    const before = known.destinations.size;
    if (op.op === "delete-destination") {
      known.destinations.delete(name);
      known.draining.delete(name);
    } else {
      known.destinations.set(name, { ...op.destination, forwarding: "masquerade" });
      if (op.destination.weight > 0) known.draining.delete(name);
      else if (!known.draining.has(name)) known.draining.set(name, nowMs);
    }
    this.#destinations += known.destinations.size - before;
    if (known.draining.size > 0) this.#draining.add(key);
    else this.#draining.delete(key);
  }
}

function isSameService(a: IpvsService, b: IpvsService): boolean {
  return a.scheduler === b.scheduler && a.flags === b.flags && a.timeoutSeconds === b.timeoutSeconds;
}

/** A UDP client goes on sending to the same place for as long as it likes: it must be sent elsewhere at once. */
function retire(service: IpvsService, { address, port, weight }: IpvsDestination, steps: IpvsSteps): void {
  if (service.protocol === UDP)
    steps.push("remove", { op: "delete-destination", service, destination: { address, port } });
  else if (weight !== 0)
    steps.push("stop", { op: "set-destination", service, destination: { address, port, weight: 0 } });
}

function retireServer({ service, destinations }: Known, steps: IpvsSteps): void {
  if (service.protocol === UDP || destinations.size === 0)
    steps.push("remove", { op: "delete-service", service });
  else for (const destination of destinations.values()) retire(service, destination, steps);
}
