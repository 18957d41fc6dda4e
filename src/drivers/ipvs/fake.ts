/**
 * Layer drivers. IPVS in memory: refuses what the kernel refuses, with the same errno. Tests tell it which connections a
 * destination has.
 */
import type { IpAddress } from "../../model/ip.ts";
import type {
  IpvsDestination,
  IpvsDestinationState,
  IpvsOp,
  IpvsServerState,
  IpvsService,
  IpvsServiceKey,
  IpvsTimeouts,
} from "../../model/ipvs.ts";
import { ipvsServiceKey } from "../../model/ipvs.ts";
import type { IpvsDriver, IpvsFailure, IpvsSupport } from "./driver.ts";

const NOTHING = { connections: 0, inPackets: 0, outPackets: 0, inBytes: 0, outBytes: 0 };
const ERRNO = { ENOENT: 2, ESRCH: 3, EEXIST: 17, EINVAL: 22 } as const;

interface FakeServer {
  service: IpvsService;
  readonly destinations: Map<string, IpvsDestinationState>;
}

const destinationKey = ({ address, port }: Pick<IpvsDestination, "address" | "port">) => `${address} ${port}`;

export class FakeIpvs implements IpvsDriver {
  /** Service addresses that this kernel wants nothing of. */
  readonly refused = new Set<IpAddress>();
  /** Operations sent, in order. */
  readonly sent: IpvsOp[] = [];
  readonly #servers = new Map<string, FakeServer>();
  readonly #schedulers: readonly string[];
  #timeouts: IpvsTimeouts = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 };

  constructor(schedulers: readonly string[] = ["rr", "wrr", "lc", "wlc", "sh", "mh"]) {
    this.#schedulers = schedulers;
  }

  probe(scheduler: string): IpvsSupport {
    if (this.#schedulers.includes(scheduler))
      return { kind: "supported", version: "1.2.1", connectionBuckets: 4096 };
    return {
      kind: "unsupported",
      needs: `the scheduler "${scheduler}" (kernel module ip_vs_${scheduler})`,
    };
  }

  /** How many connections a destination has from now on. */
  setConnections(
    service: IpvsServiceKey,
    destination: Pick<IpvsDestination, "address" | "port">,
    connections: { readonly active: number; readonly inactive: number },
  ): void {
    const server = this.#servers.get(ipvsServiceKey(service));
    const key = destinationKey(destination);
    const state = server?.destinations.get(key);
    if (state === undefined) throw new RangeError(`no destination ${key}`);
    server?.destinations.set(key, {
      ...state,
      activeConnections: connections.active,
      inactiveConnections: connections.inactive,
    });
  }

  read(): Promise<readonly IpvsServerState[]> {
    const states = [...this.#servers.values()].map(({ service, destinations }) => ({
      service,
      statistics: NOTHING,
      destinations: [...destinations.values()],
    }));
    return Promise.resolve(states);
  }

  readServices(): readonly IpvsService[] {
    return [...this.#servers.values()].map(({ service }) => service);
  }

  /** Nothing passes here: what tests put in, by virtual server. */
  readonly connections = new Map<string, number>();

  readConnections(): ReadonlyMap<string, number> {
    return new Map([...this.#servers.keys()].map((key) => [key, this.connections.get(key) ?? 0]));
  }

  readDestinations(service: IpvsServiceKey): readonly IpvsDestinationState[] {
    return [...(this.#servers.get(ipvsServiceKey(service))?.destinations.values() ?? [])];
  }

  commit(ops: readonly IpvsOp[]): Promise<readonly IpvsFailure[]> {
    const failures: IpvsFailure[] = [];
    ops.forEach((op, opIndex) => {
      this.sent.push(op);
      const code = this.refused.has(op.service.address) ? "EINVAL" : this.#apply(op);
      if (code !== undefined) failures.push({ opIndex, errno: ERRNO[code], code });
    });
    return Promise.resolve(failures);
  }

  readTimeouts(): IpvsTimeouts {
    return this.#timeouts;
  }

  writeTimeouts({ tcpSeconds, tcpFinSeconds, udpSeconds }: IpvsTimeouts): void {
    this.#timeouts = {
      tcpSeconds: tcpSeconds || this.#timeouts.tcpSeconds,
      tcpFinSeconds: tcpFinSeconds || this.#timeouts.tcpFinSeconds,
      udpSeconds: udpSeconds || this.#timeouts.udpSeconds,
    };
  }

  close(): void {
    this.#servers.clear();
  }

  #apply(op: IpvsOp): keyof typeof ERRNO | undefined {
    const key = ipvsServiceKey(op.service);
    const server = this.#servers.get(key);
    if (op.op === "add-service") {
      if (server !== undefined) return "EEXIST";
      if (!this.#schedulers.includes(op.service.scheduler)) return "ENOENT";
      this.#servers.set(key, { service: op.service, destinations: new Map() });
      return undefined;
    }
    if (server === undefined) return "ESRCH";
    if (op.op === "set-service") {
      if (!this.#schedulers.includes(op.service.scheduler)) return "ENOENT";
      server.service = op.service;
      return undefined;
    }
    if (op.op === "delete-service") {
      this.#servers.delete(key);
      return undefined;
    }
    const name = destinationKey(op.destination);
    const known = server.destinations.get(name);
    if (op.op === "add-destination" ? known !== undefined : known === undefined)
      return op.op === "add-destination" ? "EEXIST" : "ENOENT";
    if (op.op === "delete-destination") server.destinations.delete(name);
    else
      server.destinations.set(name, {
        ...(known ?? newState(op.destination)),
        weight: op.destination.weight,
      });
    return undefined;
  }
}

function newState({ address, port, weight }: IpvsDestination): IpvsDestinationState {
  return {
    address,
    port,
    weight,
    forwarding: "masquerade",
    activeConnections: 0,
    inactiveConnections: 0,
    persistentConnections: 0,
    statistics: NOTHING,
  };
}
