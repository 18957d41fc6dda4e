/**
 * The nf_tables driver interface, on the kernel (in a namespace of its own) and on the fake: what holds for one must
 * hold for the other. Notices of changes are in nft-notices.test.ts.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NftElements, NftOp, NftSet } from "../../src/model/nftables.ts";
import {
  type Backend,
  committed,
  conformance,
  elementTexts,
  failures,
  HEAD,
  open,
  slots,
} from "./nft-backends.ts";
import { chainOps, declaredSets, type Layout, layoutOps, PORT, pack, ruleOps, tcp } from "./nft-fixture.ts";

const PORT_ONLY = ["th dport"] as const;

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

  test("elements of a set with a counter count from zero; a declaration without one is another", (t) => {
    const [driver, other] = open(t, backend, layout);
    const set: NftSet = { name: "counted", key: PORT, data: "verdict", flags: [], counter: true };
    const keys = [tcp(80), tcp(443)];
    const elements: NftElements = { ...pack(keys), verdicts: [{ kind: "accept" }, { kind: "accept" }] };
    assert.equal(driver.elementCounts(set).packets.length, 0);
    committed(driver, [...HEAD, { op: "add-set", set }, { op: "add-elements", set: "counted", elements }]);
    for (const reader of [driver, other]) {
      assert.deepEqual(reader.read()?.sets.get("counted")?.set, set);
      const counts = reader.elementCounts(set);
      assert.deepEqual([...counts.packets], [0, 0]);
      assert.deepEqual([...counts.keys].sort(), [...elements.keys].sort());
    }
    committed(driver, [{ op: "add-set", set }]);
    const { counter: _, ...plain } = set;
    assert.deepEqual(failures(driver, [{ op: "add-set", set: plain }]), ["0 EEXIST"]);
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
}

conformance("nft driver", import.meta.filename, cases);
