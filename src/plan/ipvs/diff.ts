/**
 * Layer plan. From what IPVS holds to what it should hold. There are no transactions, so the order is what keeps connections
 * working: new destinations come before old ones get no more, and a destination with connections goes last of all. Pure.
 */
import type {
  IpvsDestination,
  IpvsDestinationState,
  IpvsOp,
  IpvsServer,
  IpvsServerState,
  IpvsServiceKey,
} from "../../model/ipvs.ts";
import { ipvsServiceKey } from "../../model/ipvs.ts";

const UDP = 17;

export interface IpvsDiff {
  /** In the order in which they must take effect. */
  readonly ops: readonly IpvsOp[];
  /** Destinations that stay with weight 0 until their connections end: look again. */
  readonly draining: number;
}

export interface IpvsDiffOptions {
  /** A draining destination's time is over: it goes with its connections. */
  readonly isOverdue?: (service: IpvsServiceKey, destination: IpvsDestination) => boolean;
}

interface Steps {
  readonly add: IpvsOp[];
  readonly change: IpvsOp[];
  readonly stop: IpvsOp[];
  readonly remove: IpvsOp[];
  draining: number;
}

const nameOf = ({ address, port }: IpvsDestination) => `${address} ${port}`;

function hasConnections({ activeConnections, inactiveConnections }: IpvsDestinationState): boolean {
  return activeConnections + inactiveConnections > 0;
}

function retire(
  steps: Steps,
  service: IpvsServiceKey,
  destination: IpvsDestinationState,
  isOverdue: NonNullable<IpvsDiffOptions["isOverdue"]>,
): void {
  // A UDP client goes on sending to the same place for as long as it likes: it must be sent elsewhere at once.
  if (service.protocol === UDP || !hasConnections(destination) || isOverdue(service, destination)) {
    steps.remove.push({ op: "delete-destination", service, destination });
    return;
  }
  steps.draining++;
  if (destination.weight !== 0)
    steps.stop.push({ op: "set-destination", service, destination: { ...destination, weight: 0 } });
}

function diffDestinations(
  steps: Steps,
  { service, destinations }: IpvsServer,
  had: readonly IpvsDestinationState[],
  isOverdue: NonNullable<IpvsDiffOptions["isOverdue"]>,
): void {
  const old = new Map(had.map((destination) => [nameOf(destination), destination]));
  for (const destination of destinations) {
    const known = old.get(nameOf(destination));
    old.delete(nameOf(destination));
    if (known === undefined) steps.add.push({ op: "add-destination", service, destination });
    else if (known.weight !== destination.weight || known.forwarding !== "masquerade")
      steps.change.push({ op: "set-destination", service, destination });
  }
  for (const destination of old.values()) retire(steps, service, destination, isOverdue);
}

/**
 * @param has as read; virtual servers that are not wanted are deleted with their destinations, so leave out foreign ones
 * @returns no operation when `has` is what is wanted but for what drains
 */
export function diffIpvs(
  wanted: readonly IpvsServer[],
  has: readonly IpvsServerState[],
  { isOverdue = () => false }: IpvsDiffOptions = {},
): IpvsDiff {
  const steps: Steps = { add: [], change: [], stop: [], remove: [], draining: 0 };
  const old = new Map(has.map((server) => [ipvsServiceKey(server.service), server]));
  for (const server of wanted) {
    const { service } = server;
    const key = ipvsServiceKey(service);
    const known = old.get(key);
    old.delete(key);
    if (known === undefined) steps.add.push({ op: "add-service", service });
    else if (
      known.service.scheduler !== service.scheduler ||
      known.service.flags !== service.flags ||
      known.service.timeoutSeconds !== service.timeoutSeconds
    )
      steps.change.push({ op: "set-service", service });
    diffDestinations(steps, server, known?.destinations ?? [], isOverdue);
  }
  for (const { service } of old.values()) steps.remove.push({ op: "delete-service", service });
  return { ops: [...steps.add, ...steps.change, ...steps.stop, ...steps.remove], draining: steps.draining };
}
