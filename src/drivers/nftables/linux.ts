/**
 * Layer drivers. `LinuxNft`: one nf_tables table over nfnetlink. Encoding is in codec/netlink/nftables; this file
 * orders requests and turns answers into the results of driver.ts.
 */
import { blamedElement, encodeBatch } from "../../codec/netlink/nftables/batch.ts";
import { MSG } from "../../codec/netlink/nftables/constants.ts";
import { ElementCountCollector } from "../../codec/netlink/nftables/element-counts.ts";
import { ElementCollector } from "../../codec/netlink/nftables/elements.ts";
import { encodeGet, readChain, readRule, readRuleCounter } from "../../codec/netlink/nftables/objects.ts";
import { type ElementShape, elementShape, readSet } from "../../codec/netlink/nftables/sets.ts";
import { attributeMap, attributeNumber, NLMSG_ERROR, readError } from "../../codec/netlink/reader.ts";
import { NodeplaneError } from "../../model/errors.ts";
import type {
  NftChain,
  NftElementCounts,
  NftElements,
  NftOp,
  NftRule,
  NftSet,
  NftTable,
  NftTableState,
} from "../../model/nftables.ts";
import { canonicalRule } from "./canonical.ts";
import type { NftCommit, NftDriver, NftFailure, NftFeature } from "./driver.ts";
import { probeFeatures } from "./probe.ts";
import { errnoName, NfSocket } from "./socket.ts";
import { TableWatches } from "./watch.ts";

const ENOENT = 2;
const READ_ATTEMPTS = 5;
const RESIZE_ATTEMPTS = 50;
const RESIZE_WAIT_MS = 20;
const SLEEPER = new Int32Array(new SharedArrayBuffer(4));
/** Bytes of `nfgenmsg` between a message's header and its attributes. */
const NFGENMSG_BYTES = 4;
/** A batch with more elements is committed while the watches are deaf. */
const QUIET_ELEMENTS = 1_000;
/** Failures reported of one batch: more say nothing new and cost memory. */
const MAX_FAILURES = 10_000;

export class LinuxNft implements NftDriver {
  readonly table: NftTable;
  readonly #socket: NfSocket;
  readonly #ownsSocket: boolean;
  readonly #watches: TableWatches;
  readonly #shapes = new Map<string, ElementShape>();
  #features: readonly NftFeature[] | undefined;

  /**
   * @param sibling a driver whose socket is used: {@link watch} then takes the commits of both for our own. Without it a
   *   process that programs two families would hear of each element of the other one
   * @throws {NodeplaneError} NETLINK_FAILED, ADDON_MISSING
   */
  constructor(table: NftTable, sibling?: LinuxNft) {
    this.table = table;
    this.#ownsSocket = sibling === undefined;
    this.#socket = sibling === undefined ? new NfSocket() : sibling.#socket;
    this.#watches = sibling === undefined ? new TableWatches() : sibling.#watches;
  }

  probe(): readonly NftFeature[] {
    if (this.#features !== undefined) return this.#features;
    const scratch = new LinuxNft({ family: this.table.family, name: `nodeplane_probe_${process.pid}` });
    try {
      const features = probeFeatures(scratch.table.family, (ops) => scratch.commit(ops));
      if (features.every((feature) => feature.result.kind !== "unknown")) this.#features = features;
      return features;
    } finally {
      scratch.close();
    }
  }

  commit(ops: readonly NftOp[]): NftCommit {
    if (ops.length === 0) return { kind: "committed" };
    const isBulk = this.#watches.active && elementsIn(ops) > QUIET_ELEMENTS;
    return isBulk ? this.#commitQuietly(ops) : this.#send(ops);
  }

  /** Every commit in this namespace, by anybody, adds one to the generation: another number means that we missed one. */
  #commitQuietly(ops: readonly NftOp[]): NftCommit {
    const before = this.generation();
    let expected: number | undefined;
    this.#watches.listen(false);
    try {
      const outcome = this.#send(ops);
      expected = outcome.kind === "committed" ? before + 1 : before;
      return outcome;
    } finally {
      this.#watches.listen(true);
      if (this.generation() !== expected) this.#watches.missed();
    }
  }

  #send(ops: readonly NftOp[]): NftCommit {
    const socket = this.#socket;
    const sequence = socket.takeSequence(1);
    const layout = encodeBatch(socket.writer, this.table, this.#shapes, ops, sequence);
    socket.takeSequence(layout.lastSequence - sequence);
    if (layout.start.length === 0) return { kind: "committed" };
    const failures: NftFailure[] = [];
    let acknowledged = false;
    const lost = socket.exchange(
      "nf_tables batch",
      sequence,
      layout.lastSequence,
      (buffer, message) => {
        if (message.type !== NLMSG_ERROR) return;
        const error = readError(buffer, message);
        if (error.errno === 0) {
          acknowledged = true;
          return;
        }
        if (failures.length >= MAX_FAILURES) return;
        const index = message.sequence - layout.firstSequence;
        const opIndex = layout.opIndex[index] ?? -1;
        const op = ops[opIndex];
        const shape = op !== undefined && "elements" in op ? this.#shapes.get(op.set) : undefined;
        const elementIndex =
          error.offset === undefined || op === undefined || !("elements" in op)
            ? undefined
            : blamedElement(socket.writer.bytes, layout, index, error.offset, shape);
        failures.push({
          opIndex,
          ...(elementIndex === undefined ? {} : { elementIndex }),
          errno: error.errno,
          code: errnoName(error.errno),
          ...(error.message === undefined ? {} : { message: error.message }),
        });
      },
      () => acknowledged || failures.length > 0,
    );
    if (failures.length > 0) return { kind: "failed", failures };
    if (lost && !acknowledged) {
      throw new NodeplaneError("NETLINK_FAILED", {
        operation: "nf_tables batch",
        detail: "answers were lost: read the table to learn the outcome",
      });
    }
    return { kind: "committed" };
  }

  read(): NftTableState | undefined {
    for (let attempt = 1; ; attempt++) {
      const before = this.generation();
      const state = this.#readOnce();
      if (this.generation() === before || attempt === READ_ATTEMPTS) return state;
    }
  }

  #readOnce(): NftTableState | undefined {
    if (!this.#exists()) return undefined;
    const name = this.table.name;
    const chains: NftChain[] = [];
    this.#dump(MSG.getChain, [[1, name]], chains, (buffer, start, end) => {
      const chain = readChain(buffer, start, end, name);
      if (chain !== undefined) chains.push(chain);
    });
    const rules: NftTableState["rules"][number][] = [];
    this.#dump(MSG.getRule, [[1, name]], rules, (buffer, start, end) => {
      const rule = readRule(buffer, start, end, name);
      if (rule !== undefined) rules.push(rule);
    });
    const declared: NftSet[] = [];
    this.#dump(MSG.getSet, [[1, name]], declared, (buffer, start, end) => {
      const set = readSet(buffer, start, end);
      if (set !== undefined) declared.push(set);
    });
    const sets = new Map<string, { set: NftSet; elements: NftElements }>();
    for (const set of declared) {
      this.#shapes.set(set.name, elementShape(set));
      sets.set(set.name, { set, elements: this.#readElements(set) });
    }
    return { table: this.table, chains, rules, sets };
  }

  #exists(): boolean {
    const errno = this.#socket.get(
      "read table",
      (sequence) =>
        encodeGet(this.#socket.writer, this.table, MSG.getTable, false, sequence, [[1, this.table.name]]),
      () => undefined,
    );
    if (errno !== 0 && errno !== ENOENT) throw refused("read table", errno);
    return errno === 0;
  }

  /** Sets that the packet path fills (`dynamic`) are not read: nobody compares their content. */
  #readElements(set: NftSet): NftElements {
    const shape = elementShape(set);
    if (set.flags.includes("dynamic")) return new ElementCollector(shape, 0).elements();
    for (let attempt = 0; attempt < RESIZE_ATTEMPTS; attempt++) {
      const collector = this.#dumpElements(set, shape);
      if (!collector.hasDuplicates()) return collector.elements();
      // The kernel resizes the set's hash table, which takes it some milliseconds; there is no event to wait for.
      Atomics.wait(SLEEPER, 0, 0, RESIZE_WAIT_MS);
    }
    const detail = "the set's hash table does not come to rest";
    throw new NodeplaneError("NETLINK_FAILED", { operation: `read set ${set.name}`, detail });
  }

  #dumpElements(set: NftSet, shape: ElementShape): ElementCollector {
    let collector = new ElementCollector(shape, 0);
    this.#dumpSet(
      set.name,
      () => {
        collector = new ElementCollector(shape, set.size === undefined ? 0 : Math.min(set.size, 65_536));
      },
      (buffer, start, end) => collector.add(buffer, start, end),
    );
    return collector;
  }

  /** Dumps the elements of a set, if it is there. @param start called before each attempt */
  #dumpSet(
    name: string,
    start: () => void,
    take: (buffer: Uint8Array, start: number, end: number) => void,
  ): void {
    const request: [number, string][] = [
      [1, this.table.name],
      [2, name],
    ];
    const errno = this.#socket.dump(
      `read set ${name}`,
      (sequence) => encodeGet(this.#socket.writer, this.table, MSG.getSetElem, true, sequence, request),
      start,
      (buffer, message) => take(buffer, message.start + NFGENMSG_BYTES, message.end),
    );
    if (errno !== 0 && errno !== ENOENT) throw refused(`read set ${name}`, errno);
  }

  #dump(
    message: number,
    attributes: readonly (readonly [number, string])[],
    into: unknown[],
    take: (buffer: Uint8Array, start: number, end: number) => void,
  ): void {
    const errno = this.#socket.dump(
      "read table",
      (sequence) => encodeGet(this.#socket.writer, this.table, message, true, sequence, attributes),
      () => {
        into.length = 0;
      },
      (buffer, found) => take(buffer, found.start + NFGENMSG_BYTES, found.end),
    );
    if (errno !== 0 && errno !== ENOENT) throw refused("read table", errno);
  }

  counted(): ReadonlyMap<string, number> {
    const found: { readonly chain: string; readonly packets: number }[] = [];
    const { name } = this.table;
    this.#dump(MSG.getRule, [[1, name]], found, (buffer, start, end) => {
      const counter = readRuleCounter(buffer, start, end, name);
      if (counter !== undefined) found.push(counter);
    });
    const sums = new Map<string, number>();
    for (const { chain, packets } of found) sums.set(chain, (sums.get(chain) ?? 0) + packets);
    return sums;
  }

  elementCounts(set: NftSet): NftElementCounts {
    const { keyBytes } = elementShape(set);
    let collector = new ElementCountCollector(keyBytes);
    this.#dumpSet(
      set.name,
      () => {
        collector = new ElementCountCollector(keyBytes);
      },
      (buffer, start, end) => collector.add(buffer, start, end),
    );
    return collector.counts();
  }

  canonicalRule(rule: NftRule): string {
    return canonicalRule(this.table, rule);
  }

  generation(): number {
    let generation = 0;
    const errno = this.#socket.get(
      "read generation",
      (sequence) => encodeGet(this.#socket.writer, this.table, MSG.getGen, false, sequence, []),
      (buffer, message) => {
        const id = attributeMap(buffer, message.start + NFGENMSG_BYTES, message.end).get(1);
        if (id !== undefined) generation = attributeNumber(buffer, id);
      },
    );
    if (errno !== 0) throw refused("read generation", errno);
    return generation;
  }

  watch(onForeignChange: (what: "table-deleted" | "changed") => void, signal: AbortSignal): void {
    this.#watches.add(this.table, this.#socket.port, onForeignChange, signal);
  }

  close(): void {
    if (this.#ownsSocket) this.#socket.close();
  }
}

function elementsIn(ops: readonly NftOp[]): number {
  let count = 0;
  for (const op of ops) if ("elements" in op) count += op.elements.count;
  return count;
}

function refused(operation: string, errno: number): NodeplaneError {
  return new NodeplaneError("NETLINK_FAILED", {
    operation,
    syscall: "netlink",
    errno,
    detail: errnoName(errno),
  });
}
