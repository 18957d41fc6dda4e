/** What another mode left is removed after a change of mode, and tried again while that fails. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Host } from "../../../src/agent/host/host.ts";
import { removeOtherModes } from "../../../src/agent/reconcile/other-modes.ts";
import { FakeIptables } from "../../../src/drivers/iptables/index.ts";
import { FakeNft, FakeNftKernel } from "../../../src/drivers/nftables/index.ts";
import { FakeClock } from "./fake-clock.ts";

const IPVS = {
  scheduler: "wrr",
  excludeCIDRs: [],
  strictARP: false,
  timeouts: { tcpSeconds: 0, tcpFinSeconds: 0, udpSeconds: 0 },
  drainLimitMs: 0,
};
const LEFT = ["*nat", ":KUBE-SERVICES - [0:0]", "-A KUBE-SERVICES -s 192.0.2.1 -j ACCEPT", "COMMIT"];

/** Refuses the first inputs, as while somebody else holds the lock. */
class BusyIptables extends FakeIptables {
  refusals = 0;
  override restore(...input: Parameters<FakeIptables["restore"]>): ReturnType<FakeIptables["restore"]> {
    if (this.refusals-- <= 0) return super.restore(...input);
    return Promise.resolve({ kind: "failed", message: "Another app is currently holding the xtables lock" });
  }
}

test("chains of iptables mode go when they can, whatever else fails", async () => {
  const clock = new FakeClock();
  const busy = new BusyIptables("ip");
  const other = new FakeIptables("ip6");
  const nft = new FakeNft({ family: "ip", name: "nodeplane" }, new FakeNftKernel());
  for (const driver of [busy, other]) assert.equal((await driver.restore(LEFT)).kind, "restored");
  busy.refusals = 2;
  const warnings: string[] = [];
  const host: Pick<Host, "nft" | "usedIptables"> = {
    nft: { ip: nft },
    usedIptables: () => Promise.resolve([busy, other]),
  };
  const log = { warn: (_: object, text: string) => warnings.push(text), info: () => undefined };
  const settings = { mode: "nftables", ipvs: IPVS } as const;
  await removeOtherModes({ settings, host: host as Host, clock, log: log as never });
  assert.match(busy.text(), /KUBE-SERVICES/);
  assert.doesNotMatch(other.text(), /KUBE-/, "one that fails does not keep the next");
  assert.equal(warnings.length, 1);
  await clock.advance(30_000);
  assert.match(busy.text(), /KUBE-SERVICES/);
  await clock.advance(30_000);
  assert.doesNotMatch(busy.text(), /KUBE-/);
  await clock.advance(600_000);
  assert.equal(warnings.length, 2, "and then it is over");
});
