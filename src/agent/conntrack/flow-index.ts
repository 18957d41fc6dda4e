/**
 * Layer agent. Which flows are stale, in the words of the plan: every frontend of the units given, and frontends that are
 * gone. Knows no backend. Pure but for the lists it keeps; cost follows what changed.
 *
 * A flow is judged by where it was sent (its original destination) and where it was led (the source of its answers):
 * at a frontend of ours it must be led to an endpoint that still serves, whatever the policies say, so that flows that work
 * are not disturbed; at a frontend that is gone no flow may be led anywhere (kube-proxy: pkg/proxy/conntrack/cleanup.go).
 * IPVS leads flows by a table of its own and marks none as translated: there they must be led to a destination of now.
 */
import type { Flow } from "../../drivers/conntrack/index.ts";
import { FLOW_STATUS } from "../../drivers/conntrack/index.ts";
import type { IpFamily } from "../../model/ip.ts";
import type { PackedDestination, PackedIp } from "../../plan/packed.ts";
import { PROTOCOL_NUMBERS, packBytes, packPort } from "../../plan/packed.ts";
import type { AddressRange, UnitChange, UnitShape } from "../../plan/unit.ts";

/** Endpoints of a unit as they are now, policies and hints left aside. */
export interface FlowTargets {
  /** Ready, or terminating and serving. */
  readonly serving: ReadonlySet<PackedDestination>;
  /** In some slice, in whatever condition. */
  readonly known: ReadonlySet<PackedDestination>;
}

/** The address that a client sent to. */
export interface FlowFrontend {
  readonly family: IpFamily;
  readonly protocol: number;
  readonly address: PackedIp;
  readonly port: number;
}

/** What one look at the table is judged by. */
export interface FlowView {
  readonly targets: (shape: UnitShape) => FlowTargets;
  /** In a mode that leads flows nowhere but where it leads new ones: where that is. Without it: to all that serve. */
  readonly destinations?: (frontend: FlowFrontend) => ReadonlySet<PackedDestination> | undefined;
  /** Addresses of the node of a family. */
  readonly nodeAddresses: (family: IpFamily) => ReadonlySet<PackedIp>;
  /** Those where node ports answer now: on the others programs of the node itself do. */
  readonly nodePortAddresses: (family: IpFamily) => ReadonlySet<PackedIp>;
  /** Addresses that only Services can have. */
  readonly serviceRanges: (family: IpFamily) => readonly AddressRange[];
}

/** Frontends that went since the last look; more than these are not remembered. */
const MAX_GONE = 100_000;

function frontendKeys(shape: UnitShape): readonly string[] {
  return shape.frontends.map(({ address, port }) => key(shape.family, shape.protocol, address, port));
}

function key(family: IpFamily, protocol: number, address: PackedIp, port: number): string {
  return `${family}${protocol} ${address}${packPort(port)}`;
}

export class FlowIndex {
  /** By unit. */
  readonly #shapes = new Map<string, UnitShape>();
  /** By frontend; a node port has no address. */
  readonly #owners = new Map<string, UnitShape>();
  /** With a number each, since a frontend can come back and go again while a look runs. */
  readonly #gone = new Map<string, number>();
  #goneCount = 0;

  /** Takes changes over. @returns families and protocols that they concern, as `family protocol` */
  apply(changes: readonly UnitChange[]): ReadonlySet<string> {
    const touched = new Set<string>();
    const apply = (change: UnitChange, shape: UnitShape | undefined) => {
      const before = this.#shapes.get(change.key);
      const protocol = (shape ?? before)?.protocol;
      if (protocol !== undefined) touched.add(`${change.family} ${protocol}`);
      if (before === shape) return;
      if (before !== undefined) this.#forget(before);
      if (shape === undefined) this.#shapes.delete(change.key);
      else {
        this.#shapes.set(change.key, shape);
        for (const frontend of frontendKeys(shape)) {
          this.#owners.set(frontend, shape);
          this.#gone.delete(frontend);
        }
      }
    };
    for (const change of changes) apply(change, change.unit?.shape);
    return touched;
  }

  #forget(shape: UnitShape): void {
    for (const frontend of frontendKeys(shape)) {
      if (this.#owners.get(frontend)?.key !== shape.key) continue;
      this.#owners.delete(frontend);
      if (this.#gone.size < MAX_GONE) this.#gone.set(frontend, ++this.#goneCount);
    }
  }

  /** Frontends that went, for a look; hand them to {@link settled} when it succeeded. */
  gone(): ReadonlyMap<string, number> {
    return new Map(this.#gone);
  }

  /** Flows of these frontends are deleted. */
  settled(gone: ReadonlyMap<string, number>): void {
    for (const [frontend, number] of gone)
      if (this.#gone.get(frontend) === number) this.#gone.delete(frontend);
  }

  /** A judge for the flows of one dump; endpoints are looked up once a unit. */
  judge(view: FlowView, gone: ReadonlyMap<string, number>): (flow: Flow) => boolean {
    const targets = new Map<string, FlowTargets>();
    const targetsOf = (shape: UnitShape) => {
      const known = targets.get(shape.key) ?? view.targets(shape);
      targets.set(shape.key, known);
      return known;
    };
    const destinations = new Map<string, ReadonlySet<PackedDestination>>();
    const wanted = (shape: UnitShape, name: string, frontend: FlowFrontend) => {
      const known = destinations.get(name) ?? view.destinations?.(frontend) ?? targetsOf(shape).serving;
      destinations.set(name, known);
      return known;
    };
    const nodes = { ip: view.nodeAddresses("ip"), ip6: view.nodeAddresses("ip6") };
    const nodePorts = { ip: view.nodePortAddresses("ip"), ip6: view.nodePortAddresses("ip6") };
    const ranges = { ip: view.serviceRanges("ip"), ip6: view.serviceRanges("ip6") };
    return (flow) => {
      const { family, original, reply, status } = flow;
      const { protocol } = original;
      if (protocol === PROTOCOL_NUMBERS.SCTP && (status & FLOW_STATUS.seenReply) !== 0) return false;
      const address = packBytes(original.destination);
      const atAddress = key(family, protocol, address, original.destinationPort);
      const atNode = nodes[family].has(address) ? key(family, protocol, "", original.destinationPort) : "";
      const ledTo = packBytes(reply.source) + packPort(reply.sourcePort);
      const sentTo = address + packPort(original.destinationPort);
      const isLed = (status & FLOW_STATUS.dstNat) !== 0 || ledTo !== sentTo;
      const isNodePort = isLed || nodePorts[family].has(address);
      const shape = this.#owners.get(atAddress) ?? (isNodePort ? this.#owners.get(atNode) : undefined);
      if (shape !== undefined) {
        const frontend = { family, protocol, address, port: original.destinationPort };
        if (protocol !== PROTOCOL_NUMBERS.TCP) return !wanted(shape, atAddress, frontend).has(ledTo);
        return isLed && !targetsOf(shape).known.has(ledTo);
      }
      if (!isLed) return false;
      if (gone.has(atAddress) || gone.has(atNode)) return true;
      return ranges[family].some(({ first, last }) => address >= first && address <= last);
    };
  }
}
