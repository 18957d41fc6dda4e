/**
 * Layer codec. Operations of the model as one nfnetlink batch: BATCH_BEGIN, a message or more for each operation,
 * BATCH_END. Each message has its own sequence number, so that an error finds its operation; element lists are cut
 * below 64 KiB; only the last message asks for an acknowledgement, which the kernel sends after the commit.
 */
import type { NftChain, NftOp, NftRule, NftTable } from "../../../model/nftables.ts";
import { readAttributes } from "../reader.ts";
import { HEADER_BYTES, type NetlinkWriter } from "../writer.ts";
import {
  FAMILY,
  HOOK,
  MSG,
  NFNL_MSG_BATCH_BEGIN,
  NFNL_MSG_BATCH_END,
  NFNL_SUBSYS_NFTABLES,
  NLM_F_ACK,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_REQUEST,
  nftType,
} from "./constants.ts";
import { checkElements, writeElements } from "./elements.ts";
import { writeStatements } from "./expressions.ts";
import { type ElementShape, elementShape, writeSet } from "./sets.ts";
import { commentUserdata } from "./userdata.ts";

/** Where an operation's messages lie in the batch; index 0 is the message behind BATCH_BEGIN. */
export interface BatchLayout {
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** By message. */
  readonly opIndex: readonly number[];
  readonly start: readonly number[];
  readonly firstElement: readonly number[];
}

class BatchEncoder {
  readonly opIndex: number[] = [];
  readonly start: number[] = [];
  readonly firstElement: number[] = [];
  readonly #writer: NetlinkWriter;
  readonly #table: NftTable;
  readonly #shapes: Map<string, ElementShape>;
  readonly #firstSequence: number;
  #op = 0;
  #setId = 1;

  constructor(
    writer: NetlinkWriter,
    table: NftTable,
    shapes: Map<string, ElementShape>,
    firstSequence: number,
  ) {
    this.#writer = writer;
    this.#table = table;
    this.#shapes = shapes;
    this.#firstSequence = firstSequence;
  }

  encode(ops: readonly NftOp[]): void {
    for (const op of ops) {
      this.#encodeOp(op);
      this.#op++;
    }
  }

  #begin(message: number, flags: number, firstElement = 0): NetlinkWriter {
    const sequence = this.#firstSequence + this.opIndex.length;
    const start = this.#writer.beginNfMessage(
      nftType(message),
      NLM_F_REQUEST | flags,
      sequence,
      FAMILY[this.#table.family],
      0,
    );
    this.opIndex.push(this.#op);
    this.start.push(start);
    this.firstElement.push(firstElement);
    this.#writer.text(1, this.#table.name);
    return this.#writer;
  }

  #encodeOp(op: NftOp): void {
    switch (op.op) {
      case "add-table":
        this.#begin(MSG.newTable, NLM_F_CREATE);
        break;
      case "delete-table":
        this.#begin(MSG.delTable, 0);
        break;
      case "add-chain":
        writeChain(this.#begin(MSG.newChain, NLM_F_CREATE), op.chain);
        break;
      case "delete-chain":
        this.#begin(MSG.delChain, 0).text(3, op.chain);
        break;
      case "flush-chain":
        this.#begin(MSG.delRule, 0).text(2, op.chain);
        break;
      case "add-rule":
        writeRule(this.#begin(MSG.newRule, NLM_F_CREATE | NLM_F_APPEND), this.#table, op.rule);
        break;
      case "add-set":
        writeSet(this.#begin(MSG.newSet, NLM_F_CREATE), op.set, this.#setId++);
        this.#shapes.set(op.set.name, elementShape(op.set));
        break;
      case "delete-set":
        this.#begin(MSG.delSet, 0).text(2, op.set);
        break;
      case "add-elements":
        this.#elements(MSG.newSetElem, NLM_F_CREATE, op);
        return;
      case "delete-elements":
        this.#elements(MSG.delSetElem, 0, op);
        return;
    }
    this.#writer.endMessage();
  }

  #elements(
    message: number,
    flags: number,
    op: Extract<NftOp, { op: "add-elements" | "delete-elements" }>,
  ): void {
    if (op.elements.count === 0) return;
    const shape = this.#shapes.get(op.set) ?? guessShape(op);
    checkElements(shape, op.elements);
    let from = 0;
    do {
      const writer = this.#begin(message, flags, from);
      writer.text(2, op.set);
      from = writeElements(writer, shape, op.elements, from);
      writer.endMessage();
    } while (from < op.elements.count);
  }
}

/** For a set that was neither declared nor read through this driver: a plain one, as the arrays suggest. */
function guessShape(op: Extract<NftOp, { op: "add-elements" | "delete-elements" }>): ElementShape {
  const { count, keys, data, verdicts, keyEnds } = op.elements;
  const divisor = Math.max(1, count);
  return {
    keyBytes: keys.length / divisor,
    dataBytes: data === undefined ? 0 : data.length / divisor,
    verdicts: verdicts !== undefined,
    interval: keyEnds === undefined ? "none" : "range",
  };
}

function writeChain(writer: NetlinkWriter, chain: NftChain): void {
  writer.text(3, chain.name);
  if (chain.base === undefined) return;
  const hook = writer.beginNest(4);
  writer.u32(1, HOOK[chain.base.hook]);
  writer.u32(2, chain.base.priority >>> 0);
  writer.endNest(hook);
  writer.u32(5, 1);
  writer.text(7, chain.base.type);
}

function writeRule(writer: NetlinkWriter, table: NftTable, rule: NftRule): void {
  writer.text(2, rule.chain);
  writeStatements(writer, 4, table.family, rule.statements);
  if (rule.comment !== undefined) writer.raw(7, commentUserdata(rule.comment));
}

/**
 * Writes the whole batch into `writer` (reset first). `shapes` holds the declared sets of the table and learns new ones.
 * @throws {RangeError} for elements that do not fit their set, or a rule that needs too many registers
 */
export function encodeBatch(
  writer: NetlinkWriter,
  table: NftTable,
  shapes: Map<string, ElementShape>,
  ops: readonly NftOp[],
  sequence: number,
): BatchLayout {
  writer.reset();
  writer.beginNfMessage(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, sequence, 0, NFNL_SUBSYS_NFTABLES);
  writer.endMessage();
  const encoder = new BatchEncoder(writer, table, shapes, sequence + 1);
  encoder.encode(ops);
  const last = encoder.start.at(-1);
  if (last !== undefined) writer.addFlags(last, NLM_F_ACK);
  const lastSequence = sequence + 1 + encoder.opIndex.length;
  writer.beginNfMessage(NFNL_MSG_BATCH_END, NLM_F_REQUEST, lastSequence, 0, NFNL_SUBSYS_NFTABLES);
  writer.endMessage();
  return {
    firstSequence: sequence + 1,
    lastSequence,
    opIndex: encoder.opIndex,
    start: encoder.start,
    firstElement: encoder.firstElement,
  };
}

/**
 * Which element of message `message` the kernel blamed, by the offset of its extended acknowledgement.
 * @returns index inside the operation, or `undefined` when the offset lies in no element
 */
export function blamedElement(
  bytes: Uint8Array,
  layout: BatchLayout,
  message: number,
  offset: number,
  shape: ElementShape | undefined,
): number | undefined {
  const start = layout.start[message];
  if (start === undefined) return undefined;
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(start, true);
  const blamed = start + offset;
  const list = readAttributes(bytes, start + HEADER_BYTES + 4, start + size).find((part) => part.type === 3);
  if (list === undefined || blamed < list.start || blamed >= list.end) return undefined;
  const before = readAttributes(bytes, list.start, list.end).filter(
    (element) => element.end <= blamed,
  ).length;
  const index = shape?.interval === "pair" ? before >> 1 : before;
  return (layout.firstElement[message] ?? 0) + index;
}
