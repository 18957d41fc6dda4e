/**
 * The iptables driver: one suite on the fake, the legacy and the nft variant, both families. The real ones run in a network
 * namespace with a lock file of their own.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { FakeIptables, type IptablesDriver, LinuxIptables } from "../../src/drivers/iptables/index.ts";
import type { IpFamily } from "../../src/model/ip.ts";
import { insideNamespace, reexecuteInNamespace } from "./netns.ts";

const MADE = [
  "*filter",
  ":KUBE-A - [0:0]",
  "-I INPUT 1 -m conntrack --ctstate NEW -j KUBE-A",
  "-A KUBE-A -j ACCEPT",
  "COMMIT",
  "*nat",
  ":KUBE-A - [0:0]",
  ":KUBE-B - [0:0]",
  '-A KUBE-A -m comment --comment "two words" -j KUBE-B',
  "COMMIT",
];

function rules(text: string): readonly string[] {
  return text.split("\n").filter((line) => line.startsWith("-A"));
}

async function conforms(driver: IptablesDriver): Promise<void> {
  const restored = async (lines: Iterable<string>) =>
    assert.deepEqual(await driver.restore(lines), { kind: "restored" });
  assert.equal(await driver.hasChain("nat", "KUBE-A"), false);
  await restored(MADE);
  assert.equal(await driver.hasChain("nat", "KUBE-A"), true);
  assert.equal(await driver.hasChain("mangle", "KUBE-A"), false);
  const saved = await driver.save();
  assert.deepEqual(rules(saved), [
    "-A INPUT -m conntrack --ctstate NEW -j KUBE-A",
    "-A KUBE-A -j ACCEPT",
    '-A KUBE-A -m comment --comment "two words" -j KUBE-B',
  ]);
  assert.match(saved, /^\*nat$/m);
  assert.match(saved, /^:KUBE-B - \[0:0\]$/m);

  // A chain declared again is emptied; others stay; a chain goes in the input that takes its last use away.
  await restored(["*nat", ":KUBE-A - [0:0]", ":KUBE-B - [0:0]", "-X KUBE-B", "COMMIT"]);
  assert.equal(await driver.hasChain("nat", "KUBE-B"), false);
  assert.deepEqual(rules(await driver.save()).length, 2);

  // A table is taken whole or not at all, and the line is named.
  const before = rules(await driver.save());
  const bad = await driver.restore(["*nat", "-A KUBE-A -j ACCEPT", "-A KUBE-NONE -j ACCEPT", "COMMIT"]);
  assert.equal(bad.kind, "failed");
  if (bad.kind === "failed") {
    assert.equal(bad.line, 3, bad.message);
    assert.notEqual(bad.message, "");
  }
  assert.deepEqual(rules(await driver.save()), before);
  const word = await driver.restore(["*nat", ":KUBE-A - [0:0]", "-A KUBE-A -j KUBE-NONE", "COMMIT"]);
  assert.equal(word.kind, "failed", "a jump to nowhere");
  assert.deepEqual(rules(await driver.save()), before);

  // No lines: nothing is done. Many: they are asked for as they are read.
  await restored([]);
  await restored(manyRules(20_000));
  assert.equal(rules(await driver.save()).length, before.length + 20_000);
  await restored(["*nat", ":KUBE-MANY - [0:0]", "-X KUBE-MANY", "COMMIT"]);
  assert.deepEqual(rules(await driver.save()), before);

  await restored([
    ...["*filter", "-D INPUT -m conntrack --ctstate NEW -j KUBE-A", ":KUBE-A - [0:0]", "-X KUBE-A", "COMMIT"],
    ...["*nat", ":KUBE-A - [0:0]", "-X KUBE-A", "COMMIT"],
  ]);
  assert.deepEqual(rules(await driver.save()), []);
}

function* manyRules(count: number): Iterable<string> {
  yield* ["*nat", ":KUBE-MANY - [0:0]"];
  for (let i = 0; i < count; i++) yield `-A KUBE-MANY -p tcp -m tcp --dport ${i} -j ACCEPT`;
  yield "COMMIT";
}

/** Notes when the second line is asked for (the first one only tells that there is something to do), and when all are read. */
function* noting(lines: Iterable<string>, name: string, order: string[]): Iterable<string> {
  let count = 0;
  for (const line of lines) {
    if (++count === 2) order.push(`${name} begins`);
    yield line;
  }
  order.push(`${name} ends`);
}

/** Lines that end with an error where the last one should be. */
function* brokenOff(): Iterable<string> {
  for (const line of manyRules(5_000)) {
    if (line === "COMMIT") throw new Error("no more lines");
    yield line;
  }
}

const families: readonly IpFamily[] = ["ip", "ip6"];

if (!insideNamespace()) {
  for (const family of families) test(`fake ${family} conforms`, () => conforms(new FakeIptables(family)));
  test("real ones, in a namespace", () => reexecuteInNamespace(import.meta.filename));
} else {
  suite("installed commands", () => {
    const folder = mkdtempSync(join(tmpdir(), "nodeplane-xtables-"));
    process.env["XTABLES_LOCKFILE"] = join(folder, "lock");
    after(() => rmSync(folder, { recursive: true, force: true }));
    for (const variant of ["legacy", "nft"] as const)
      for (const family of families)
        test(`${variant} ${family} conforms`, async () => {
          const driver = await LinuxIptables.open(family, variant);
          assert.equal(driver.variant, variant);
          assert.equal(driver.hasRandomFully, true);
          await conforms(driver);
        });
    for (const variant of ["legacy", "nft"] as const)
      test(`${variant}: lines that end too early change nothing and keep no lock`, async () => {
        const driver = await LinuxIptables.open("ip", variant);
        const before = rules(await driver.save());
        await assert.rejects(driver.restore(brokenOff()), { code: "IPTABLES_FAILED" });
        assert.deepEqual(rules(await driver.save()), before);
        assert.deepEqual(await driver.restore(["*nat", "COMMIT"]), { kind: "restored" });
      });
    for (const variant of ["legacy", "nft"] as const)
      test(`${variant}: one after the other, however many are asked for`, async () => {
        const ip = await LinuxIptables.open("ip", variant);
        const ip6 = await LinuxIptables.open("ip6", variant);
        const order: string[] = [];
        const restored = async (driver: LinuxIptables, name: string, lines: Iterable<string>) =>
          assert.deepEqual(await driver.restore(noting(lines, name, order)), { kind: "restored" });
        const away = ["*nat", ":KUBE-MANY - [0:0]", "-X KUBE-MANY", "COMMIT"];
        const first = restored(ip, "first", manyRules(20_000));
        const second = restored(ip6, "second", ["*nat", "COMMIT"]);
        await Promise.all([first, second, restored(ip, "third", away)]);
        const steps = ["first", "second", "third"].flatMap((name) => [`${name} begins`, `${name} ends`]);
        assert.deepEqual(order, steps);
        assert.equal(await ip.hasChain("nat", "KUBE-MANY"), false);
      });
    test("missing commands are said to be missing", async () => {
      const path = process.env["PATH"];
      process.env["PATH"] = "/nowhere";
      await assert.rejects(LinuxIptables.open("ip"), { code: "IPTABLES_MISSING" });
      process.env["PATH"] = path;
    });
  });
}
