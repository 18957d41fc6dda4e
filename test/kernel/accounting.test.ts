/** Packet counters: one suite for the fake and the kernel's, and a rule that counts. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { suite, test } from "node:test";
import {
  type AccountingDriver,
  FakeAccounting,
  LinuxAccounting,
} from "../../src/drivers/accounting/index.ts";
import { insideNamespace, reexecuteInNamespace } from "./netns.ts";

function conforms(driver: AccountingDriver): void {
  assert.deepEqual([...driver.packets()], []);
  assert.equal(driver.ensure("one"), true);
  assert.equal(driver.ensure("one"), true, "it may be there");
  assert.equal(driver.ensure("two"), true);
  assert.deepEqual([...driver.packets()].toSorted(), [
    ["one", 0],
    ["two", 0],
  ]);
  assert.equal(driver.remove("one"), true);
  assert.equal(driver.remove("one"), false);
  assert.deepEqual([...driver.packets()], [["two", 0]]);
  assert.equal(driver.remove("two"), true);
  driver.close();
}

if (!insideNamespace()) {
  test("fake conforms", () => conforms(new FakeAccounting()));
  test("a kernel without counters", () => assert.equal(new FakeAccounting(false).ensure("one"), false));
  test("the kernel's, in a namespace", () => reexecuteInNamespace(import.meta.filename));
} else
  suite("nfnetlink_acct", () => {
    test("conforms", () => conforms(new LinuxAccounting()));
    test("a rule counts, and its counter cannot be removed while it does", () => {
      const driver = new LinuxAccounting();
      assert.equal(driver.ensure("seen"), true);
      const iptables = (...args: readonly string[]) =>
        assert.equal(spawnSync("iptables", args).status, 0, args.join(" "));
      iptables("-A", "OUTPUT", "-o", "lo", "-m", "nfacct", "--nfacct-name", "seen");
      const refused = "require('node:net').connect(9, '127.0.0.1').on('error', () => {})";
      spawnSync(process.execPath, ["-e", refused]);
      assert.ok((driver.packets().get("seen") ?? 0) > 0);
      assert.equal(driver.remove("seen"), false);
      iptables("-F", "OUTPUT");
      assert.equal(driver.remove("seen"), true);
      driver.close();
    });
  });
