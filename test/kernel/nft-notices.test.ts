/** Conformance of nf_tables drivers: generation, notices of changes by others, probe. On the kernel and on the fake. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { NftElements, NftOp } from "../../src/model/nftables.ts";
import { type Backend, committed, conformance, HEAD, open, slots } from "./nft-backends.ts";
import { declaredSets, type Layout } from "./nft-fixture.ts";

function cases(backend: Backend, layout: Layout): void {
  const sets = declaredSets(layout).map((set): NftOp => ({ op: "add-set", set }));

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

conformance("nft notices", import.meta.filename, cases);
