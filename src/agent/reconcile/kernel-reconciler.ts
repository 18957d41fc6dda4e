/** Layer agent. What the agent asks of a reconciler, whatever the mode. */
import type { FeedListener, Programmed } from "../../feed/feed.ts";
import type { IpFamily } from "../../model/ip.ts";
import type { ObjectProblem } from "../../model/objects.ts";
import type { NodeConfig } from "../../plan/node-config.ts";
import type { PackedDestination } from "../../plan/packed.ts";
import type { Planner } from "../../plan/planner.ts";
import type { UnitChange, UnitShape } from "../../plan/unit.ts";
import type { FlowFrontend } from "../conntrack/flow-index.ts";
import type { ServiceConnections } from "./service-connections.ts";
import type { ReconcilerStatus } from "./status.ts";

export type ReconcileLog = (
  level: "debug" | "info" | "warn" | "error",
  message: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

export interface KernelReconciler extends FeedListener {
  /** Plans anew for a changed node. */
  setNode(node: NodeConfig): void;
  status(): ReconcilerStatus;
  /** Where flows of a unit may lead, see {@link Planner.flowTargets}. */
  flowTargets(shape: UnitShape): ReturnType<Planner["flowTargets"]>;
  /** Where flows that were sent to a frontend may lead, in modes that lead them nowhere else. */
  flowDestinations?(frontend: FlowFrontend): ReadonlySet<PackedDestination>;
  /** Ranges of the ServiceCIDRs of a family. */
  serviceRanges(family: IpFamily): ReturnType<Planner["serviceRanges"]>;
  /** Connections of services with session affinity that sets of clients had no room for; modes that cannot tell have none. */
  affinityNotRemembered?(): ReadonlyMap<IpFamily, number>;
  /**
   * New connections of every service port, where they are counted; modes that do not count have none. Asks the kernel now
   * and then. @throws {NodeplaneError} when that fails
   */
  serviceConnections?(): readonly ServiceConnections[];
  /** Resolves when nothing is left to be written but what waits for a retry. */
  idle(): Promise<void>;
  /** Stops watching and writing; what is in the kernel stays. */
  stop(): void;
}

export interface ReconcilerCallbacks {
  /** A revision is in the kernel: the feed's second acknowledgement. Skips revisions that a later one overtook. */
  readonly onProgrammed?: (programmed: Programmed) => void;
  /** The whole list, each time it changes. */
  readonly onProblems?: (problems: readonly ObjectProblem[]) => void;
  /** Told of every unit taken, and each time that all of them are in the kernel. */
  readonly flows?: { changed(changes: readonly UnitChange[]): void; live(): void };
}
