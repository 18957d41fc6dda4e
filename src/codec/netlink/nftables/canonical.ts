/**
 * Layer codec. One text for equal rules, made from the expressions as they were sent or as the kernel shows them.
 * What kernels add or leave out (defaults of zero, the upper end of a nat range, counter values, flags that the
 * kernel derives) is not in it, so a rule read back compares equal to the rule that was written.
 */
import { type Attribute, attributeMap, attributeText, NetlinkMalformed, readAttributes } from "../reader.ts";

/** Attributes that the kernel fills in itself. */
const DERIVED: Readonly<Record<string, ReadonlySet<number>>> = {
  counter: new Set([1, 2]),
  nat: new Set([4, 6, 7]),
};
/** Expressions whose first attribute is text. */
const TEXT_FIRST = new Set(["lookup", "dynset"]);

function hex(buffer: Uint8Array, from: number, to: number): string {
  let text = "";
  for (let i = from; i < to; i++) text += (buffer[i] ?? 0).toString(16).padStart(2, "0");
  return text;
}

function isZero(buffer: Uint8Array, attribute: Attribute): boolean {
  for (let i = attribute.start; i < attribute.end; i++) if (buffer[i] !== 0) return false;
  return true;
}

function canonicalExpression(buffer: Uint8Array, name: string, start: number, end: number): string {
  const parts: string[] = [];
  for (const attribute of readAttributes(buffer, start, end).toSorted((a, b) => a.type - b.type)) {
    if (DERIVED[name]?.has(attribute.type) === true) continue;
    if (attribute.type === 1 && TEXT_FIRST.has(name)) {
      parts.push(`1=${attributeText(buffer, attribute)}`);
      continue;
    }
    // Register 0 is the verdict: a lookup with it is a verdict map, one without a plain set.
    if (isZero(buffer, attribute) && !(name === "lookup" && attribute.type === 3)) continue;
    parts.push(`${attribute.type}=${hex(buffer, attribute.start, attribute.end)}`);
  }
  return `${name}(${parts.join(",")})`;
}

/** Canonical text of the expressions between `start` and `end`. @throws {NetlinkMalformed} */
export function canonicalExpressions(buffer: Uint8Array, start: number, end: number): string {
  const texts: string[] = [];
  for (const element of readAttributes(buffer, start, end)) {
    const parts = attributeMap(buffer, element.start, element.end);
    const name = parts.get(1);
    const data = parts.get(2);
    if (name === undefined) throw new NetlinkMalformed("expression without a name");
    // nft swaps the bytes of a one-byte key part of an interval set: of no effect, and not written by us.
    if (attributeText(buffer, name) === "byteorder") continue;
    texts.push(
      canonicalExpression(
        buffer,
        attributeText(buffer, name),
        data?.start ?? element.end,
        data?.end ?? element.end,
      ),
    );
  }
  return texts.join(" ");
}
