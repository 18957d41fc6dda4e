/**
 * Layer dns. Which zones of which listener the native engine answers from names: those of server blocks that repeat
 * themselves (engine-blocks.ts) and have the `kubernetes` plugin. Other zones are routes too, so that the longest one wins.
 */
import { RCODE } from "../../codec/dns/constants.ts";
import { type EngineRoute, FORWARD_RCODES, NAME_TYPES } from "../../drivers/udp-engine/driver.ts";
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
  /** Which group of the engine forwards for a block. */
  readonly groupOf: ReadonlyMap<Block, number>;
}

export function nameRoutes(
  listeners: readonly ListenerZones[],
  context: RouteContext,
): readonly EngineRoute[] {
  return listeners.flatMap(({ id, server, zones }) =>
    [...zones.entries()].map(([zone, blocks]): EngineRoute => {
      const [block] = blocks;
      const engine = block === undefined ? undefined : context.blocks.get(block);
      const labels = { server, zone, view: block?.view ?? "" };
      const forward = forwardOf(block, engine, labels, context);
      const route = {
        listener: id,
        zone,
        isRecursive: block?.isRecursive === true,
        shuffles: engine?.shuffles === true,
        ...(forward === undefined ? {} : { forward }),
      };
      const view = engine?.kubernetes === undefined ? undefined : context.viewOf.get(engine.kubernetes.view);
      const slots = view === undefined ? undefined : slotsOf(labels, context.slots, engine?.counts === true);
      return view === undefined || slots === undefined ? route : { ...route, view, slots };
    }),
  );
}

/** @returns `undefined` when the engine does not forward for the block, or cannot count its answers */
function forwardOf(
  block: Block | undefined,
  engine: EngineBlock | undefined,
  labels: ServerLabels,
  { groupOf, slots }: RouteContext,
): EngineRoute["forward"] {
  const group = block === undefined ? undefined : groupOf.get(block);
  if (group === undefined || engine === undefined) return undefined;
  // Where a cache stands before it, the chain sees each reply and counts it.
  if (engine.cache !== undefined) return { group, slots: NAME_TYPES.map(() => FORWARD_RCODES.map(() => 0)) };
  const all = NAME_TYPES.map((type) =>
    FORWARD_RCODES.map((rcode) => slots.forwardSlot(labels, type, rcode, engine.counts)),
  );
  const known = all.map((row) => row.filter((slot) => slot !== undefined));
  return known.every((row) => row.length === FORWARD_RCODES.length) ? { group, slots: known } : undefined;
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
