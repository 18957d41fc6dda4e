/**
 * Layer plan. Weights to slots: a backend gives each endpoint a whole number of equal slots. Pure.
 * See docs/differences.md.
 */

/** Most slots of a unit whose endpoints have different weights. */
export const MAX_WEIGHTED_SLOTS = 1024;
/** Most endpoints of a unit: with more than {@link MAX_WEIGHTED_SLOTS} each has one slot. */
export const MAX_ENDPOINTS = 8192;

export interface Slots {
  /** One entry per weight given, in order; 0 for those left out. */
  readonly slots: readonly number[];
  /** Shares differ from the weights asked for. */
  readonly isRounded: boolean;
  /** Endpoints that got none because there are too many. */
  readonly leftOut: number;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/**
 * @param weights 1–256 each (0 is taken out before), in the order of the endpoints
 * @returns slots whose sum is at most 1,024, or one each where there are more endpoints, up to 8,192. Every endpoint
 *   keeps at least one slot.
 */
export function reduceWeights(weights: readonly number[]): Slots {
  const first = weights[0] ?? 1;
  if (weights.length > MAX_WEIGHTED_SLOTS) {
    const slots = weights.map((_, index) => (index < MAX_ENDPOINTS ? 1 : 0));
    const isRounded = weights.some((weight) => weight !== first);
    return { slots, isRounded, leftOut: Math.max(0, weights.length - MAX_ENDPOINTS) };
  }
  let divisor = 0;
  let total = 0;
  for (const weight of weights) {
    divisor = gcd(weight, divisor);
    total += weight;
  }
  if (divisor === 0 || total / divisor <= MAX_WEIGHTED_SLOTS) {
    return { slots: weights.map((weight) => weight / divisor), isRounded: false, leftOut: 0 };
  }
  // Rounding up to one can overshoot, so what is shared out is what remains after one slot for each.
  const spare = MAX_WEIGHTED_SLOTS - weights.length;
  const slots = weights.map((weight) => 1 + Math.floor((weight / total) * spare));
  return { slots, isRounded: true, leftOut: 0 };
}
