/**
 * Layer plan. Which endpoint stands in which slot. Slots are dense from 0; what stays keeps its place, so a changed
 * endpoint costs a handful of elements. Pure.
 */
import type { PackedDestination } from "../packed.ts";
import type { Target } from "../unit.ts";

/** Destinations one behind the other, slot 0 first. Width: 6 bytes (IPv4) or 18 (IPv6). */
export type PackedSlots = string;

/**
 * Places `targets` with as few moves as possible from `current`: those that remain stay, new ones take the places of
 * those that went, holes left over are filled from the end. From nothing: in the order of the targets.
 * Cost O(slots). The result holds each destination exactly `slots` times.
 */
export function assignSlots(current: PackedSlots, width: number, targets: readonly Target[]): PackedSlots {
  const inOrder = targets
    .map((t) => (t.slots === 1 ? t.destination : t.destination.repeat(t.slots)))
    .join("");
  if (current === "" || current === inOrder) return inOrder;
  const wanted = new Map<PackedDestination, number>();
  for (const target of targets) wanted.set(target.destination, target.slots);
  const slots: (PackedDestination | undefined)[] = [];
  let holes = 0;
  for (let at = 0; at < current.length; at += width) {
    const destination = current.slice(at, at + width);
    const left = wanted.get(destination) ?? 0;
    if (left > 0) wanted.set(destination, left - 1);
    else holes++;
    slots.push(left > 0 ? destination : undefined);
  }
  const added: PackedDestination[] = [];
  for (const [destination, count] of wanted) for (let i = 0; i < count; i++) added.push(destination);
  if (holes === 0 && added.length === 0) return current;
  return fillHoles(slots, added).join("");
}

function fillHoles(slots: (PackedDestination | undefined)[], added: readonly PackedDestination[]): string[] {
  let next = 0;
  for (let i = 0; i < slots.length; i++) {
    if (slots[i] !== undefined) continue;
    if (next < added.length) slots[i] = added[next++];
    else {
      while (slots.length > i + 1 && slots[slots.length - 1] === undefined) slots.pop();
      const last = slots.pop();
      if (slots.length > i) slots[i] = last;
    }
  }
  return [...(slots as string[]), ...added.slice(next)];
}
