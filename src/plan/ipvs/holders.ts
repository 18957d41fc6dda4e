/** Layer plan. Counts who wants an element of a set: units may share addresses, hairpins and ranges. Pure. */
import type { ElementList } from "../nftables/element-list.ts";

/** An element's set and key as one text. */
export function elementId(set: number, key: string): string {
  return String.fromCharCode(set) + key;
}

export class Holders {
  readonly #counts = new Map<string, number>();

  /** Elements held. */
  get size(): number {
    return this.#counts.size;
  }

  has(id: string): boolean {
    return this.#counts.has(id);
  }

  ids(): Iterable<string> {
    return this.#counts.keys();
  }

  /** @returns true for the first holder */
  hold(id: string): boolean {
    const count = this.#counts.get(id) ?? 0;
    this.#counts.set(id, count + 1);
    return count === 0;
  }

  /** @returns true when nobody holds it any more */
  release(id: string): boolean {
    const count = this.#counts.get(id) ?? 0;
    if (count > 1) this.#counts.set(id, count - 1);
    else this.#counts.delete(id);
    return count === 1;
  }

  /** Goes from one list to another. Elements in both are not touched. @param changed told of each that came or went */
  exchange(
    before: ElementList | undefined,
    after: ElementList | undefined,
    changed: (id: string, isNew: boolean) => void,
  ): void {
    const had = idsOf(before);
    const has = idsOf(after);
    // Hold before release: what another unit hands over stays where it is.
    for (const id of has) if (!had.has(id) && this.hold(id)) changed(id, true);
    for (const id of had) if (!has.has(id) && this.release(id)) changed(id, false);
  }
}

function idsOf(list: ElementList | undefined): ReadonlySet<string> {
  const ids = new Set<string>();
  if (list === undefined) return ids;
  for (let i = 0; i < list.length; i++) ids.add(elementId(list.sets[i] ?? 0, list.keys[i] ?? ""));
  return ids;
}
