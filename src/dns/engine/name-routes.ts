/**
 * Layer dns. Which zones of which listener the native engine answers from names: those of server blocks that repeat
 * themselves (engine-blocks.ts) and have the `kubernetes` plugin. Other zones are routes too, so that the longest one wins.
 */
import { RCODE } from "../../codec/dns/constants.ts";
import { type EngineRoute, NAME_TYPES } from "../../drivers/udp-engine/driver.ts";
import type { ClusterView } from "../plugins/kubernetes/cluster-view.ts";
import type { ServerLabels } from "../query.ts";
import type { Block, ZoneTable } from "../server/block.ts";
import type { EngineBlock } from "./engine-blocks.ts";
import type { CounterSlots } from "./engine-metrics.ts";

/** A listener whose UDP sockets are the engine's. */
export interface ListenerZones {
  readonly id: number;
  /** Label of the listener in metrics. */
  readonly server: string;
  readonly zones: ZoneTable;
}

export interface RouteContext {
  readonly blocks: ReadonlyMap<Block, EngineBlock>;
  readonly viewOf: ReadonlyMap<ClusterView, number | undefined>;
  readonly slots: CounterSlots;
}

export function nameRoutes(
  listeners: readonly ListenerZones[],
  context: RouteContext,
): readonly EngineRoute[] {
  return listeners.flatMap(({ id, server, zones }) =>
    [...zones.entries()].map(([zone, blocks]): EngineRoute => {
      const [block] = blocks;
      const engine = block === undefined ? undefined : context.blocks.get(block);
      const route = {
        listener: id,
        zone,
        isRecursive: block?.isRecursive === true,
        shuffles: engine?.shuffles === true,
      };
      const view = engine?.kubernetes === undefined ? undefined : context.viewOf.get(engine.kubernetes.view);
      const labels = { server, zone, view: block?.view ?? "" };
      const slots = view === undefined ? undefined : slotsOf(labels, context.slots, engine?.counts === true);
      return view === undefined || slots === undefined ? route : { ...route, view, slots };
    }),
  );
}

/** @returns `undefined` when there are not enough counters left: the zone is left to the chain then */
function slotsOf(
  labels: ServerLabels,
  slots: CounterSlots,
  isCounted: boolean,
): readonly (readonly [number, number])[] | undefined {
  const pairs: (readonly [number, number])[] = [];
  for (const type of NAME_TYPES) {
    const found = slots.nameSlot(labels, type, RCODE.NOERROR, isCounted);
    const missing = slots.nameSlot(labels, type, RCODE.NXDOMAIN, isCounted);
    if (found === undefined || missing === undefined) return undefined;
    pairs.push([found, missing]);
  }
  return pairs;
}
