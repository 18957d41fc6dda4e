/** Layer plan. One unit from its shape and the slices of its service. Pure; cost O(endpoints of the service). */
import type { ObjectProblem } from "../model/objects.ts";
import type { Candidate, HintMatch } from "./endpoints.ts";
import { mergeDuplicates, selectEndpoints } from "./endpoints.ts";
import type { PackedDestination } from "./packed.ts";
import { packPort } from "./packed.ts";
import type { SliceRecord } from "./tracker/slice-record.ts";
import { eachEndpoint } from "./tracker/slice-record.ts";
import type { Target, Unit, UnitShape } from "./unit.ts";
import { neededSets } from "./unit.ts";
import { MAX_ENDPOINTS, MAX_WEIGHTED_SLOTS, reduceWeights } from "./weights.ts";

export interface UnitContext {
  /** Number of this node's name. */
  readonly nodeNumber: number;
  readonly hints: (number: number) => HintMatch;
  /** Receives what had to be rounded or left out. */
  readonly problems: ObjectProblem[];
}

function candidatesOf(
  shape: UnitShape,
  slices: readonly SliceRecord[],
  context: UnitContext,
): readonly Candidate[] {
  const candidates: Candidate[] = [];
  for (const slice of slices) {
    if (slice.family !== shape.family) continue;
    const port = slice.ports.find((p) => p.name === shape.portName && p.protocol === shape.protocol);
    if (port === undefined) continue;
    const suffix = packPort(port.port);
    eachEndpoint(slice, (fields) => {
      if (fields.weight === 0) return;
      candidates.push({
        destination: fields.address + suffix,
        ready: fields.ready,
        serving: fields.serving,
        terminating: fields.terminating,
        isLocal: fields.node !== 0 && fields.node === context.nodeNumber,
        mayBeHere: fields.node === 0 || fields.node === context.nodeNumber,
        weight: fields.weight,
        hints: context.hints(fields.hints),
      });
    });
  }
  return mergeDuplicates(candidates);
}

function targetsOf(
  shape: UnitShape,
  selected: readonly Candidate[],
  context: UnitContext,
): readonly Target[] {
  if (selected.length === 0) return [];
  const { slots, isRounded, leftOut } = reduceWeights(selected.map((candidate) => candidate.weight));
  const object = { kind: "Service", namespace: shape.namespace, name: shape.service } as const;
  const port = shape.portName === "" ? "the port" : `port ${shape.portName}`;
  if (leftOut > 0) {
    const message = `${port} has ${selected.length} endpoints; ${MAX_ENDPOINTS} are used, ${leftOut} left out`;
    context.problems.push({ object, reason: "TooManyEndpoints", field: "", message });
  } else if (isRounded) {
    const message = `${port}: weights are rounded to ${MAX_WEIGHTED_SLOTS} shares`;
    context.problems.push({ object, reason: "WeightsRounded", field: "", message });
  }
  const targets: Target[] = [];
  selected.forEach((candidate, index) => {
    const count = slots[index] ?? 0;
    const { destination, mayBeHere } = candidate;
    if (count > 0) targets.push({ destination, slots: count, mayBeHere });
  });
  return targets;
}

/** Works a unit out. Result is independent of the order of slices and endpoints. */
export function planUnit(shape: UnitShape, slices: readonly SliceRecord[], context: UnitContext): Unit {
  const candidates = candidatesOf(shape, slices, context);
  const { cluster, local, hasAny } = selectEndpoints(candidates, neededSets(shape));
  return {
    shape,
    cluster: targetsOf(shape, cluster, context),
    local: targetsOf(shape, local, context),
    hasAny,
  };
}

/**
 * Where flows of a unit that exist already may lead: endpoints that serve (whatever policies, hints and weights say of new
 * flows), and all that are known at all.
 */
export function flowTargets(
  shape: UnitShape,
  slices: readonly SliceRecord[],
): { readonly serving: ReadonlySet<PackedDestination>; readonly known: ReadonlySet<PackedDestination> } {
  const serving = new Set<PackedDestination>();
  const known = new Set<PackedDestination>();
  for (const slice of slices) {
    if (slice.family !== shape.family) continue;
    const port = slice.ports.find((p) => p.name === shape.portName && p.protocol === shape.protocol);
    if (port === undefined) continue;
    const suffix = packPort(port.port);
    eachEndpoint(slice, ({ address, ready, serving: serves }) => {
      known.add(address + suffix);
      if (ready || serves) serving.add(address + suffix);
    });
  }
  return { serving, known };
}
