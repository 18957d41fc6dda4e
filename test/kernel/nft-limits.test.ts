/** The nf_tables driver under pressure: more errors than the socket holds, a table that changes while it is read. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { LinuxNft } from "../../src/drivers/nftables/index.ts";
import type { NftOp } from "../../src/model/nftables.ts";
import { insideNamespace, reexecuteInNamespace } from "./netns.ts";
import { declaredSets, index32, LAYOUTS, pack, port, tcp } from "./nft-fixture.ts";

const TABLE = { family: "ip", name: "nodeplane_limits" } as const;
const [LAYOUT] = LAYOUTS;

if (!insideNamespace()) {
  test("nft driver limits in a namespace", () => reexecuteInNamespace(import.meta.filename));
} else if (LAYOUT !== undefined) {
  const layout = LAYOUT;
  const sets = declaredSets(layout).map((set): NftOp => ({ op: "add-set", set }));

  test("a batch whose errors overflow the socket fails cleanly, and the socket stays in step", (t) => {
    const driver = new LinuxNft(TABLE);
    t.after(() => driver.close());
    assert.deepEqual(driver.commit([{ op: "add-table" }]), { kind: "committed" });
    const many = Array.from(
      { length: 60_000 },
      (_, at): NftOp => ({ op: "delete-chain", chain: `absent${at}` }),
    );
    const outcome = driver.commit([{ op: "add-chain", chain: { name: "never" } }, ...many]);
    assert.equal(outcome.kind, "failed");
    if (outcome.kind !== "failed") return;
    assert.ok(outcome.failures.length > 100 && outcome.failures.length <= 10_000);
    for (const failure of outcome.failures) assert.equal(failure.code, "ENOENT");
    assert.deepEqual(driver.read()?.chains, []);
    assert.deepEqual(driver.commit([{ op: "add-chain", chain: { name: "after" } }]), { kind: "committed" });
    assert.deepEqual(driver.read()?.chains, [{ name: "after" }]);
    driver.commit([{ op: "delete-table" }]);
  });

  test("read() sees one state while others change the table", async (t) => {
    const driver = new LinuxNft(TABLE);
    t.after(() => driver.close());
    const count = 8_000;
    const elements = pack(
      Array.from({ length: count }, (_, at) => [...layout.address(96, at), ...tcp(80), ...index32(0)]),
      Array.from({ length: count }, (_, at) => [...layout.address(1, at), ...port(8080)]),
    );
    const ops: NftOp[] = [{ op: "add-table" }, ...sets, { op: "add-elements", set: "slot", elements }];
    assert.deepEqual(driver.commit(ops), { kind: "committed" });
    const element = "{ 10.97.0.1 . tcp . 80 . 0 : 10.1.0.1 . 8080 }";
    const target = `ip ${TABLE.name} slot`;
    const loop = `while :; do nft add element ${target} '${element}'; sleep 0.1; nft delete element ${target} '${element}'; sleep 0.15; done`;
    const child = spawn("sh", ["-c", loop], { stdio: "ignore", detached: true });
    t.after(() => {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    });
    const first = driver.generation();
    const seen = new Set<number>();
    for (let reads = 0; reads < 15; reads++) {
      const held = driver.read()?.sets.get("slot")?.elements;
      assert.ok(held !== undefined);
      const keys = new Set<string>();
      for (let at = 0; at < held.count; at++)
        keys.add(Buffer.from(held.keys.subarray(at * 16, at * 16 + 16)).toString("latin1"));
      assert.equal(keys.size, held.count, "no element twice");
      seen.add(held.count);
      await sleep(40);
    }
    assert.notEqual(driver.generation(), first, "the table changed meanwhile");
    for (const number of seen) assert.ok(number === count || number === count + 1, `${number} elements`);
    driver.commit([{ op: "delete-table" }]);
  });
}
