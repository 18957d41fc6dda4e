/**
 * The nf_tables driver interface, on the kernel (in a namespace of its own) and on the fake: what holds for one must
 * hold for the other.
 */
import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { FakeNft, FakeNftKernel, LinuxNft, type NftDriver } from "../../src/drivers/nftables/index.ts";
import type { NftElements, NftOp, NftTable } from "../../src/model/nftables.ts";
import { insideNamespace, reexecuteInNamespace } from "./netns.ts";
import {
  chainOps,
  declaredSets,
  index32,
  LAYOUTS,
  type Layout,
  layoutOps,
  pack,
  port,
  ruleOps,
  tcp,
} from "./nft-fixture.ts";

interface Backend {
  readonly name: string;
  /** A driver and another one of the same namespace. */
  open(table: NftTable): readonly [NftDriver, NftDriver];
}

const BACKENDS: readonly Backend[] = [
  {
    name: "fake",
    open: (table) => {
      const kernel = new FakeNftKernel();
      return [new FakeNft(table, kernel), new FakeNft(table, kernel)];
    },
  },
  { name: "linux", open: (table) => [new LinuxNft(table), new LinuxNft(table)] },
];

let tables = 0;

function open(t: TestContext, backend: Backend, layout: Layout): readonly [NftDriver, NftDriver] {
  const drivers = backend.open({ family: layout.family, name: `nodeplane_${++tables}` });
  t.after(() => {
    drivers[0].commit([{ op: "add-table" }, { op: "delete-table" }]);
    for (const driver of drivers) driver.close();
  });
  return drivers;
}

function committed(driver: NftDriver, ops: readonly NftOp[]): void {
  assert.deepEqual(driver.commit(ops), { kind: "committed" });
}

/** Failures as `operation:element code`, in order of operation. */
function failures(driver: NftDriver, ops: readonly NftOp[]): readonly string[] {
  const outcome = driver.commit(ops);
  assert.equal(outcome.kind, "failed");
  if (outcome.kind !== "failed") return [];
  return outcome.failures
    .toSorted((a, b) => a.opIndex - b.opIndex)
    .map((f) => `${f.opIndex}${f.elementIndex === undefined ? "" : `:${f.elementIndex}`} ${f.code}`);
}

/** Elements as sorted texts, so that the order of a hash table does not matter. */
function elementTexts(elements: NftElements): readonly string[] {
  const width = (bytes: Uint8Array): number => bytes.length / Math.max(1, elements.count);
  const part = (bytes: Uint8Array | undefined, at: number): string =>
    bytes === undefined
      ? ""
      : Buffer.from(bytes.slice(at * width(bytes), (at + 1) * width(bytes))).toString("hex");
  return Array.from({ length: elements.count }, (_, at) =>
    [
      part(elements.keys, at),
      part(elements.keyEnds, at),
      part(elements.data, at),
      JSON.stringify(elements.verdicts?.[at]),
    ].join(" "),
  ).sort();
}

const HEAD: readonly NftOp[] = [{ op: "add-table" }];

function slots(layout: Layout, count: number, endpointPort: number): NftElements {
  return pack(
    Array.from({ length: count }, (_, at) => [
      ...layout.address(96, at >> 2),
      ...tcp(80),
      ...index32(at & 3),
    ]),
    Array.from({ length: count }, (_, at) => [...layout.address(1, at), ...port(endpointPort)]),
  );
}

function cases(backend: Backend, layout: Layout): void {
  const sets = declaredSets(layout).map((set): NftOp => ({ op: "add-set", set }));

  test("read() of a missing table is undefined", (t) => {
    assert.equal(open(t, backend, layout)[0].read(), undefined);
  });

  test("read() returns what one batch wrote, on another socket too", (t) => {
    const [driver, other] = open(t, backend, layout);
    const ops = layoutOps(layout);
    committed(driver, ops);
    for (const reader of [driver, other]) {
      const state = reader.read();
      assert.ok(state !== undefined);
      const wanted = ops.flatMap((op) => (op.op === "add-chain" ? [op.chain] : []));
      const byName = <T extends { name: string }>(list: readonly T[]): T[] =>
        list.toSorted((a, b) => (a.name < b.name ? -1 : 1));
      assert.deepEqual(byName(state.chains), byName(wanted));
      const rules = ops.flatMap((op) => (op.op === "add-rule" ? [op.rule] : []));
      for (const chain of wanted) {
        assert.deepEqual(
          state.rules
            .filter((rule) => rule.chain === chain.name)
            .map((rule) => [rule.canonical, rule.comment]),
          rules
            .filter((rule) => rule.chain === chain.name)
            .map((rule) => [reader.canonicalRule(rule), rule.comment]),
        );
      }
      for (const set of declaredSets(layout)) {
        const held = state.sets.get(set.name);
        assert.deepEqual(
          { ...held?.set, flags: held?.set.flags.toSorted() },
          { ...set, flags: set.flags.toSorted() },
        );
        const written = ops.find((op) => op.op === "add-elements" && op.set === set.name);
        if (written !== undefined && "elements" in written) {
          assert.deepEqual(
            elementTexts(held?.elements ?? pack([])),
            elementTexts(written.elements),
            set.name,
          );
        }
      }
    }
  });

  test("every failing operation is reported and nothing is applied", (t) => {
    const [driver] = open(t, backend, layout);
    committed(driver, [...HEAD, ...sets, { op: "add-chain", chain: { name: "keep" } }]);
    const before = driver.generation();
    assert.deepEqual(
      failures(driver, [
        { op: "add-chain", chain: { name: "new" } },
        { op: "delete-chain", chain: "absent" },
        { op: "add-elements", set: "slot", elements: slots(layout, 2, 1) },
        { op: "flush-chain", chain: "absent" },
        { op: "add-elements", set: "absent", elements: slots(layout, 1, 1) },
        { op: "delete-set", set: "absent" },
        { op: "add-rule", rule: { chain: "absent", statements: [{ kind: "counter" }] } },
      ]),
      ["1 ENOENT", "3 ENOENT", "4 ENOENT", "5 ENOENT", "6 ENOENT"],
    );
    const state = driver.read();
    assert.deepEqual(
      state?.chains.map((chain) => chain.name),
      ["keep"],
    );
    assert.equal(state?.sets.get("slot")?.elements.count, 0);
    assert.equal(driver.generation(), before);
  });

  test("operations on a missing table fail with ENOENT", (t) => {
    const [driver] = open(t, backend, layout);
    assert.deepEqual(failures(driver, [{ op: "delete-table" }]), ["0 ENOENT"]);
    assert.deepEqual(failures(driver, [{ op: "add-chain", chain: { name: "c" } }]), ["0 ENOENT"]);
  });

  test("an equal element is accepted, a different one is EEXIST with its index", (t) => {
    const [driver] = open(t, backend, layout);
    committed(driver, [
      ...HEAD,
      ...sets,
      { op: "add-elements", set: "slot", elements: slots(layout, 3, 8080) },
    ]);
    committed(driver, [{ op: "add-elements", set: "slot", elements: slots(layout, 4, 8080) }]);
    assert.deepEqual(
      failures(driver, [{ op: "add-elements", set: "slot", elements: slots(layout, 6, 8081) }]),
      ["0:0 EEXIST"],
    );
    const changed = slots(layout, 6, 8080);
    changed.data?.fill(9, changed.data.length - (changed.data.length / 6) * 3);
    assert.deepEqual(failures(driver, [{ op: "add-elements", set: "slot", elements: changed }]), [
      "0:3 EEXIST",
    ]);
    assert.equal(driver.read()?.sets.get("slot")?.elements.count, 4);
  });

  test("delete and add of one key in a batch replaces the data", (t) => {
    const [driver] = open(t, backend, layout);
    committed(driver, [
      ...HEAD,
      ...sets,
      { op: "add-elements", set: "slot", elements: slots(layout, 3, 8080) },
    ]);
    const { keys, count } = slots(layout, 3, 8080);
    committed(driver, [
      { op: "delete-elements", set: "slot", elements: { keys, count } },
      { op: "add-elements", set: "slot", elements: slots(layout, 3, 9090) },
    ]);
    const held = driver.read()?.sets.get("slot")?.elements;
    assert.deepEqual(elementTexts(held ?? pack([])), elementTexts(slots(layout, 3, 9090)));
  });

  test("a missing element cannot be deleted", (t) => {
    const [driver] = open(t, backend, layout);
    committed(driver, [
      ...HEAD,
      ...sets,
      { op: "add-elements", set: "slot", elements: slots(layout, 3, 8080) },
    ]);
    const { keys, count } = slots(layout, 5, 8080);
    assert.deepEqual(failures(driver, [{ op: "delete-elements", set: "slot", elements: { keys, count } }]), [
      "0:3 ENOENT",
    ]);
    assert.equal(driver.read()?.sets.get("slot")?.elements.count, 3);
  });

  test("lists longer than a message are split, errors keep their index", (t) => {
    const [driver] = open(t, backend, layout);
    const many = slots(layout, 9_000, 8080);
    committed(driver, [...HEAD, ...sets, { op: "add-elements", set: "slot", elements: many }]);
    const held = driver.read()?.sets.get("slot")?.elements;
    assert.equal(held?.count, 9_000);
    assert.deepEqual(elementTexts(held ?? pack([])), elementTexts(many));
    const data = many.data?.slice() ?? new Uint8Array();
    data[(data.length / 9_000) * 7_654] = 99;
    assert.deepEqual(failures(driver, [{ op: "add-elements", set: "slot", elements: { ...many, data } }]), [
      "0:7654 EEXIST",
    ]);
  });

  test("a sized set says ENFILE when it is full", (t) => {
    const [driver] = open(t, backend, layout);
    committed(driver, [
      ...HEAD,
      { op: "add-set", set: { name: "small", key: [layout.daddr], data: "none", flags: [], size: 3 } },
    ]);
    const keys = (count: number): NftElements =>
      pack(Array.from({ length: count }, (_, at) => layout.address(1, at)));
    committed(driver, [{ op: "add-elements", set: "small", elements: keys(3) }]);
    assert.deepEqual(failures(driver, [{ op: "add-elements", set: "small", elements: keys(4) }]), [
      "0:3 ENFILE",
    ]);
  });

  for (const name of ["ranges", "networks"]) {
    test(`interval set ${name}: equal is accepted, overlapping is EEXIST`, (t) => {
      const [driver] = open(t, backend, layout);
      committed(driver, [...HEAD, ...sets]);
      const range = (from: number, to: number): NftElements => {
        const head = name === "ranges" ? [...layout.address(96, 1), ...tcp(80)] : [];
        return {
          ...pack([[...head, ...layout.address(7, from)]]),
          keyEnds: Uint8Array.from([...head, ...layout.address(7, to)]),
        };
      };
      committed(driver, [{ op: "add-elements", set: name, elements: range(16, 31) }]);
      committed(driver, [{ op: "add-elements", set: name, elements: range(16, 31) }]);
      committed(driver, [{ op: "add-elements", set: name, elements: range(32, 32) }]);
      assert.deepEqual(failures(driver, [{ op: "add-elements", set: name, elements: range(24, 40) }]), [
        "0:0 EEXIST",
      ]);
      committed(driver, [{ op: "delete-elements", set: name, elements: range(16, 31) }]);
      const held = driver.read()?.sets.get(name)?.elements;
      assert.deepEqual(elementTexts(held ?? pack([])), elementTexts(range(32, 32)));
    });
  }

  test("what is referred to cannot be deleted (EBUSY)", (t) => {
    const [driver] = open(t, backend, layout);
    committed(driver, [...HEAD, ...sets, ...chainOps(), ...ruleOps(layout)]);
    assert.deepEqual(failures(driver, [{ op: "delete-chain", chain: "refuse" }]), ["0 EBUSY"]);
    assert.deepEqual(failures(driver, [{ op: "delete-set", set: "slot" }]), ["0 EBUSY"]);
    const key = [...layout.address(96, 1), ...tcp(80)];
    const element: NftElements = { ...pack([key]), verdicts: [{ kind: "goto", chain: "spare" }] };
    committed(driver, [
      { op: "add-chain", chain: { name: "spare" } },
      { op: "add-elements", set: "frontend", elements: element },
    ]);
    assert.deepEqual(failures(driver, [{ op: "delete-chain", chain: "spare" }]), ["0 EBUSY"]);
    committed(driver, [
      { op: "delete-elements", set: "frontend", elements: pack([key]) },
      { op: "delete-chain", chain: "spare" },
    ]);
    committed(driver, [
      { op: "flush-chain", chain: "forward" },
      { op: "delete-chain", chain: "refuse" },
    ]);
  });

  test("adding what exists is harmless, adding something else under its name fails", (t) => {
    const [driver] = open(t, backend, layout);
    const base = { type: "filter", hook: "input", priority: 0 } as const;
    const chain: NftOp = { op: "add-chain", chain: { name: "in", base } };
    committed(driver, [...HEAD, ...sets, chain]);
    committed(driver, [...HEAD, ...sets, chain]);
    assert.deepEqual(
      failures(driver, [{ op: "add-chain", chain: { name: "in", base: { ...base, hook: "output" } } }]),
      ["0 EOPNOTSUPP"],
    );
    assert.deepEqual(
      failures(driver, [{ op: "add-set", set: { name: "slot", key: PORT_ONLY, data: "none", flags: [] } }]),
      ["0 EEXIST"],
    );
  });

  test("a table can be replaced in one batch, and a batch can undo itself", (t) => {
    const [driver] = open(t, backend, layout);
    committed(driver, layoutOps(layout));
    committed(driver, [{ op: "delete-table" }, ...HEAD, { op: "add-chain", chain: { name: "only" } }]);
    assert.deepEqual(driver.read()?.chains, [{ name: "only" }]);
    committed(driver, [
      { op: "add-chain", chain: { name: "brief" } },
      { op: "delete-chain", chain: "brief" },
    ]);
    assert.deepEqual(driver.read()?.chains, [{ name: "only" }]);
  });

  test("an empty list of elements is no operation", (t) => {
    const [driver] = open(t, backend, layout);
    committed(driver, [...HEAD, ...sets]);
    const before = driver.generation();
    committed(driver, [{ op: "add-elements", set: "slot", elements: pack([], []) }]);
    assert.equal(driver.generation(), before);
    committed(driver, [
      { op: "delete-elements", set: "slot", elements: pack([]) },
      { op: "add-chain", chain: { name: "c" } },
    ]);
    assert.deepEqual(driver.read()?.chains, [{ name: "c" }]);
  });

  test("generation() changes with commits only; an empty batch is none", (t) => {
    const [driver] = open(t, backend, layout);
    const first = driver.generation();
    committed(driver, []);
    driver.read();
    assert.equal(driver.generation(), first);
    committed(driver, HEAD);
    assert.notEqual(driver.generation(), first);
  });

  test("watch() hears of others' changes to this table and of its deletion", async (t) => {
    const [driver, other] = open(t, backend, layout);
    const heard: string[] = [];
    const abort = new AbortController();
    committed(driver, [...HEAD, ...sets]);
    driver.watch((what) => heard.push(what), abort.signal);
    committed(driver, [{ op: "add-elements", set: "slot", elements: slots(layout, 2_000, 1) }]);
    await sleep(50);
    assert.deepEqual(heard, [], "own changes are not reported");
    committed(other, [{ op: "add-chain", chain: { name: "foreign" } }]);
    await sleep(50);
    assert.deepEqual(heard, ["changed"]);
    committed(other, [{ op: "delete-table" }]);
    await sleep(50);
    assert.deepEqual(heard, ["changed", "table-deleted"]);
    abort.abort();
    committed(other, HEAD);
    await sleep(50);
    assert.equal(heard.length, 2);
  });

  test("watch() hears of a change that falls into a bulk commit of our own", async (t) => {
    const [driver, other] = open(t, backend, layout);
    const heard: string[] = [];
    const abort = new AbortController();
    t.after(() => abort.abort());
    committed(driver, [...HEAD, ...sets]);
    driver.watch((what) => heard.push(what), abort.signal);
    const many = slots(layout, 2_000, 1);
    let interrupted = false;
    const elements: NftElements = {
      ...many,
      // Read while the batch is made: the other one's commit comes just before ours.
      get keys() {
        if (!interrupted) committed(other, [{ op: "add-chain", chain: { name: "foreign" } }]);
        interrupted = true;
        return many.keys;
      },
    };
    committed(driver, [{ op: "add-elements", set: "slot", elements }]);
    await sleep(50);
    assert.ok(interrupted);
    assert.deepEqual(heard, ["changed"]);
    assert.equal(driver.read()?.sets.get("slot")?.elements.count, 2_000);
  });

  test("probe() finds everything supported here and leaves nothing behind", (t) => {
    const [driver] = open(t, backend, layout);
    const features = driver.probe();
    assert.ok(features.length > 0);
    assert.deepEqual(
      features.filter((feature) => feature.result.kind !== "supported"),
      [],
    );
    assert.equal(driver.read(), undefined);
  });
}

const PORT_ONLY = ["th dport"] as const;

if (insideNamespace()) {
  for (const backend of BACKENDS) {
    for (const layout of LAYOUTS)
      suite(`nft driver: ${backend.name} ${layout.family}`, () => cases(backend, layout));
  }
} else {
  test("nft driver conformance in a namespace", () => reexecuteInNamespace(import.meta.filename));
}
