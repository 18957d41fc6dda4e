/**
 * Layer control-plane. The two bands of a range: requests by number may use all of it, automatic choices take the
 * upper band first and the lower one only when the upper is full, so that fixed numbers rarely collide with chosen
 * ones. KEP-3070 for cluster addresses, KEP-3668 for node ports. Pure.
 */

/** Size of the lower band for cluster addresses: a sixteenth of the range, between 16 and 256. */
export function addressBandSize(rangeSize: number): number {
  return band(rangeSize, Math.floor(rangeSize / 16), 256);
}

/** Size of the lower band for node ports: a thirty-second of the range, between 16 and 128; none for tiny ranges. */
export function portBandSize(rangeSize: number): number {
  return band(rangeSize, Math.floor(rangeSize / 32), 128);
}

/** A range of 16 or fewer has no bands: everything in it is chosen from alike. */
function band(rangeSize: number, part: number, max: number): number {
  return rangeSize <= 16 ? 0 : Math.min(Math.max(16, part), max);
}

/** Whole number from 0 up to, but not including, `below`. */
export type Random = (below: number) => number;

/**
 * Random guesses in a band before its taken numbers are listed. A listing costs as much as the range is large: a
 * /24 is listed after 8 misses, a large range only when it is 95 % full or more (0.95 to the power of 128 is 0.1 %).
 */
const guesses = (size: number): number => (size <= 1_024 ? 8 : 128);

export interface Numbers {
  /** Offsets 0 to size - 1. */
  readonly size: number;
  readonly bandSize: number;
  isTaken(offset: number): Promise<boolean>;
  /** All taken offsets; asked for only when guessing fails. */
  listTaken(): Promise<ReadonlySet<number>>;
}

/**
 * A free offset, random within its band; `undefined` when all are taken.
 * Cost: one or two questions while the range is not half full, a listing when it is nearly full.
 */
export async function chooseOffset(numbers: Numbers, random: Random): Promise<number | undefined> {
  const bands = [
    { from: numbers.bandSize, to: numbers.size },
    { from: 0, to: numbers.bandSize },
  ].filter(({ from, to }) => to > from);
  let taken: ReadonlySet<number> | undefined;
  for (const { from, to } of bands) {
    for (let guess = 0; taken === undefined && guess < guesses(to - from); guess++) {
      const offset = from + random(to - from);
      if (!(await numbers.isTaken(offset))) return offset;
    }
    taken ??= await numbers.listTaken();
    const start = random(to - from);
    for (let step = 0; step < to - from; step++) {
      const offset = from + ((start + step) % (to - from));
      // The listing may be older than the transaction: what it shows as free is asked again.
      if (!taken.has(offset) && !(await numbers.isTaken(offset))) return offset;
    }
  }
  return undefined;
}
