/**
 * What administrators see: nft lists the tables that the driver writes, with elements loaded, and loads its own
 * listing again without a difference. In both families.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { LinuxNft } from "../../src/drivers/nftables/index.ts";
import { insideNamespace, reexecuteInNamespace } from "./netns.ts";
import { LAYOUTS, layoutOps } from "./nft-fixture.ts";

function nft(input: string, ...args: string[]): string {
  return execFileSync("nft", args, { input, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"] });
}

/** Lines that a listing must show: one for each form that is easily misprinted. */
const SHOWN: Readonly<Record<string, readonly string[]>> = {
  ip: [
    "typeof ip daddr . meta l4proto . th dport . numgen random mod 4 : ip daddr . th dport",
    "typeof ip daddr . meta l4proto . th dport : verdict",
    "10.96.0.1 . tcp . 80 . 1 : 10.1.0.2 . 8080",
    "10.96.0.1 . tcp . 80 : goto pick8",
    "10.96.0.1 . tcp . 80 . 10.7.0.0/24",
    "10.7.0.0/24, 10.8.0.4/31",
    "dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 8 map @slot",
    "dnat ip to meta l4proto . th dport . numgen random mod 5 map @nodeslot",
    'ip daddr . meta l4proto . th dport vmap @frontend comment "dispatch"',
    "fib daddr type local ip daddr != 10.0.0.0/16 meta l4proto . th dport vmap @nodeport",
    "ip daddr . meta l4proto . th dport . ip saddr != @ranges ip saddr @networks th dport @ports meta mark set meta mark | 0x00004000 goto pick8",
    "meta mark & 0x00004000 == 0x00004000 meta mark set meta mark & 0xffffbfff masquerade fully-random",
    "ct status dnat ip saddr . ip daddr @hairpin masquerade fully-random",
    "update @clients { ip saddr . ip daddr . meta l4proto . th dport timeout 10s }",
    'iifname != "eth0" ct state new tcp dport 80 jump refuse',
  ],
  ip6: [
    "typeof ip6 daddr . meta l4proto . th dport . numgen random mod 4 : ip6 daddr . th dport",
    "fd00:96::1 . tcp . 80 . 1 : fd00:1::2 . 8080",
    "fd00:96::1 . tcp . 80 : goto pick8",
    "fd00:96::1 . tcp . 80 . fd00:7::/120",
    "dnat ip6 to ip6 daddr . meta l4proto . th dport . numgen random mod 8 map @slot",
    "update @clients { ip6 saddr . ip6 daddr . meta l4proto . th dport timeout 10s }",
  ],
};

if (insideNamespace()) {
  for (const layout of LAYOUTS) {
    test(`nft lists and reloads a table of family ${layout.family}`, () => {
      const driver = new LinuxNft({ family: layout.family, name: "nodeplane" });
      assert.deepEqual(driver.commit(layoutOps(layout)), { kind: "committed" });
      const before = driver.read();
      const listing = nft("", "list", "ruleset");
      for (const line of SHOWN[layout.family] ?? [])
        assert.ok(listing.includes(line), `${line}\nin\n${listing}`);
      nft(`flush ruleset\n${listing}`, "-f", "-");
      assert.equal(nft("", "list", "ruleset"), listing);
      const after = driver.read();
      assert.deepEqual(after?.rules, before?.rules, "reloaded rules read as the same");
      assert.deepEqual([...(after?.sets.keys() ?? [])].sort(), [...(before?.sets.keys() ?? [])].sort());
      nft("", "flush", "ruleset");
      driver.close();
    });
  }
} else {
  test("nft listing in a namespace", () => reexecuteInNamespace(import.meta.filename));
}
