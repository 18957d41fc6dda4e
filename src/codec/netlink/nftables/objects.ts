/**
 * Layer codec. Chains and rules as the kernel shows them in dumps, and requests for dumps.
 */
import type { NftChain, NftTable, NftTableState } from "../../../model/nftables.ts";
import {
  type Attribute,
  attributeMap,
  attributeNumber,
  attributeText,
  readAttributes,
  viewOf,
} from "../reader.ts";
import type { NetlinkWriter } from "../writer.ts";
import { canonicalExpressions } from "./canonical.ts";
import { FAMILY, HOOK, NLM_F_DUMP, NLM_F_REQUEST, nftType } from "./constants.ts";
import { readComment } from "./userdata.ts";

/** One GET request, alone in `writer`; `attributes` are (type, text) pairs. */
export function encodeGet(
  writer: NetlinkWriter,
  table: NftTable,
  message: number,
  dump: boolean,
  sequence: number,
  attributes: readonly (readonly [number, string])[],
): void {
  writer.reset();
  const flags = NLM_F_REQUEST | (dump ? NLM_F_DUMP : 0);
  writer.beginNfMessage(nftType(message), flags, sequence, FAMILY[table.family], 0);
  for (const [type, text] of attributes) writer.text(type, text);
  writer.endMessage();
}

function text(buffer: Uint8Array, attribute: Attribute | undefined): string {
  return attribute === undefined ? "" : attributeText(buffer, attribute);
}

/** A chain of table `name`, or `undefined` when the message is about another table. */
export function readChain(
  buffer: Uint8Array,
  start: number,
  end: number,
  name: string,
): NftChain | undefined {
  const attributes = attributeMap(buffer, start, end);
  if (text(buffer, attributes.get(1)) !== name) return undefined;
  const chain = text(buffer, attributes.get(3));
  const hook = attributes.get(4);
  if (hook === undefined) return { name: chain };
  const parts = attributeMap(buffer, hook.start, hook.end);
  const numberAttribute = parts.get(1);
  const priorityAttribute = parts.get(2);
  const number = numberAttribute === undefined ? -1 : attributeNumber(buffer, numberAttribute);
  const hookName = (Object.keys(HOOK) as (keyof typeof HOOK)[]).find(
    (candidate) => HOOK[candidate] === number,
  );
  const type = text(buffer, attributes.get(7));
  if (hookName === undefined || (type !== "filter" && type !== "nat" && type !== "route"))
    return { name: chain };
  const priority = priorityAttribute === undefined ? 0 : attributeNumber(buffer, priorityAttribute) | 0;
  return { name: chain, base: { type, hook: hookName, priority } };
}

/** A rule of table `name`, or `undefined` when the message is about another table. */
export function readRule(
  buffer: Uint8Array,
  start: number,
  end: number,
  name: string,
): NftTableState["rules"][number] | undefined {
  const attributes = attributeMap(buffer, start, end);
  if (text(buffer, attributes.get(1)) !== name) return undefined;
  const expressions = attributes.get(4);
  const userdata = attributes.get(7);
  const comment =
    userdata === undefined ? undefined : readComment(buffer.subarray(userdata.start, userdata.end));
  return {
    chain: text(buffer, attributes.get(2)),
    canonical:
      expressions === undefined ? "" : canonicalExpressions(buffer, expressions.start, expressions.end),
    ...(comment === undefined ? {} : { comment }),
  };
}

/** Packets that the counters of a rule of table `name` have seen; `undefined` when it has none. @throws {NetlinkMalformed} */
export function readRuleCounter(
  buffer: Uint8Array,
  start: number,
  end: number,
  name: string,
): { readonly chain: string; readonly packets: number } | undefined {
  const attributes = attributeMap(buffer, start, end);
  const expressions = attributes.get(4);
  if (expressions === undefined || text(buffer, attributes.get(1)) !== name) return undefined;
  let packets: number | undefined;
  for (const element of readAttributes(buffer, expressions.start, expressions.end)) {
    const parts = attributeMap(buffer, element.start, element.end);
    const data = parts.get(2);
    if (text(buffer, parts.get(1)) !== "counter" || data === undefined) continue;
    const count = attributeMap(buffer, data.start, data.end).get(2);
    if (count === undefined || count.end - count.start !== 8) continue;
    packets = (packets ?? 0) + Number(viewOf(buffer).getBigUint64(count.start));
  }
  return packets === undefined ? undefined : { chain: text(buffer, attributes.get(2)), packets };
}
