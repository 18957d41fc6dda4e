/**
 * Layer codec. Set declarations to and from nf_tables attributes, and what is needed to read or write elements.
 */
import type { NftSet } from "../../../model/nftables.ts";
import { type Attribute, attributeMap, attributeNumber, attributeText, readAttributes } from "../reader.ts";
import type { NetlinkWriter } from "../writer.ts";
import { SET_FLAG, VERDICT_DATA_TYPE } from "./constants.ts";
import { fieldInfo, packedBytes, packedType } from "./fields.ts";
import { readSetUserdata, setUserdata } from "./userdata.ts";

/** NFTA_SET_EXPR. */
const SET_EXPRESSION = 17;
const COUNTER = "counter";

/** How the elements of a set look on the wire. */
export interface ElementShape {
  readonly keyBytes: number;
  /** 0 for sets and verdict maps. */
  readonly dataBytes: number;
  readonly verdicts: boolean;
  /** `none`; `pair`: a start and an end element (one field); `range`: KEY and KEY_END (concatenations). */
  readonly interval: "none" | "pair" | "range";
}

/** Shape of the elements of `set`. */
export function elementShape(set: NftSet): ElementShape {
  const interval = set.flags.includes("interval");
  return {
    keyBytes: packedBytes(set.key),
    dataBytes: set.data === "none" || set.data === "verdict" ? 0 : packedBytes(set.data),
    verdicts: set.data === "verdict",
    interval: interval ? (set.key.length > 1 ? "range" : "pair") : "none",
  };
}

function flagBits(set: NftSet): number {
  let flags = set.data === "none" ? 0 : SET_FLAG.map;
  for (const flag of set.flags) flags |= SET_FLAG[flag];
  if (set.flags.includes("interval") && set.key.length > 1) flags |= SET_FLAG.concat;
  return flags;
}

/** Writes the attributes of NEWSET behind the table's name. */
export function writeSet(writer: NetlinkWriter, set: NftSet, id: number): void {
  const shape = elementShape(set);
  writer.text(2, set.name);
  writer.u32(3, flagBits(set));
  writer.u32(4, packedType(set.key));
  writer.u32(5, shape.keyBytes);
  if (set.data === "verdict") {
    writer.u32(6, VERDICT_DATA_TYPE);
    writer.u32(7, 16);
  } else if (set.data !== "none") {
    writer.u32(6, packedType(set.data));
    writer.u32(7, shape.dataBytes);
  }
  const description = writer.beginNest(9);
  if (set.size !== undefined) writer.u32(1, set.size);
  if (shape.interval === "range") {
    const concat = writer.beginNest(2);
    for (const field of set.key) {
      const part = writer.beginNest(1);
      writer.u32(1, fieldInfo(field).bytes);
      writer.endNest(part);
    }
    writer.endNest(concat);
  }
  writer.endNest(description);
  writer.u32(10, id);
  writer.raw(13, setUserdata(set));
  if (set.counter === undefined) return;
  // The kernel gives every element a counter of its own like this one.
  const expression = writer.beginNest(SET_EXPRESSION);
  writer.text(1, COUNTER);
  writer.endNest(writer.beginNest(2));
  writer.endNest(expression);
}

/** Whether every element counts. Other expressions of a set are none that nodeplane declares. */
function hasCounter(buffer: Uint8Array, expression: Attribute | undefined): boolean {
  if (expression === undefined) return false;
  const name = attributeMap(buffer, expression.start, expression.end).get(1);
  return name !== undefined && attributeText(buffer, name) === COUNTER;
}

function readSize(buffer: Uint8Array, description: Attribute | undefined): number | undefined {
  if (description === undefined) return undefined;
  const size = readAttributes(buffer, description.start, description.end).find((part) => part.type === 1);
  return size === undefined ? undefined : attributeNumber(buffer, size);
}

/**
 * The declaration in a NEWSET message's attributes.
 * @returns `undefined` for a set that nodeplane did not declare (unknown parts, objects, anonymous)
 */
export function readSet(buffer: Uint8Array, start: number, end: number): NftSet | undefined {
  const attributes = attributeMap(buffer, start, end);
  const name = attributes.get(2);
  const userdata = attributes.get(13);
  if (name === undefined || userdata === undefined) return undefined;
  const declared = readSetUserdata(buffer.subarray(userdata.start, userdata.end));
  if (declared === undefined) return undefined;
  const flagAttribute = attributes.get(3);
  const bits = flagAttribute === undefined ? 0 : attributeNumber(buffer, flagAttribute);
  const flags = (["interval", "timeout", "dynamic"] as const).filter((flag) => (bits & SET_FLAG[flag]) !== 0);
  const size = readSize(buffer, attributes.get(9));
  return {
    name: attributeText(buffer, name),
    key: declared.key,
    data: declared.data,
    flags,
    ...(size === undefined ? {} : { size }),
    ...(hasCounter(buffer, attributes.get(SET_EXPRESSION)) ? { counter: true } : {}),
  };
}
