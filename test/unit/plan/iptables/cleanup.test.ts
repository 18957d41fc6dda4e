/** What clean-up takes away and what it leaves, on tables in memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeIptables } from "../../../../src/drivers/iptables/index.ts";
import { planCleanup } from "../../../../src/plan/iptables/cleanup.ts";
import { GUARD_RULE } from "../../../../src/plan/iptables/node-rules.ts";
import { parseSaved } from "../../../../src/plan/iptables/saved-state.ts";
import { planIptables } from "../../../../src/plan/plan-text.ts";
import { caseNode, fixtureObjects, readCaseFile } from "../../../support/packet-cases.ts";

const file = readCaseFile();
const [anyCase] = file.cases;
if (anyCase === undefined) throw new Error("no cases");
const node = { ...caseNode(file, anyCase, "iptables"), localhostNodePorts: true };

async function programmed(before: readonly string[]): Promise<FakeIptables> {
  const fake = new FakeIptables("ip");
  assert.equal((await fake.restore(before)).kind, "restored");
  const { inputs } = planIptables(fixtureObjects(file, "etp_local"), node);
  assert.deepEqual(await fake.restore(inputs.ip.lines), { kind: "restored" });
  return fake;
}

async function cleaned(fake: FakeIptables): Promise<string> {
  const { input } = planCleanup(parseSaved(fake.text()));
  assert.ok(input !== undefined);
  assert.deepEqual(await fake.restore(input.lines), { kind: "restored" });
  assert.equal(planCleanup(parseSaved(fake.text())).input, undefined, "nothing is left to do");
  return fake.text();
}

test("on a machine of our own everything goes", async () => {
  assert.equal(await cleaned(await programmed([])), new FakeIptables("ip").text());
});

test("rules and chains of others stay", async () => {
  const foreign = [
    ...["*filter", ":MINE - [0:0]", "-A INPUT -j MINE", "-A MINE -s 192.0.2.1 -j DROP", "COMMIT"],
    ...["*nat", ":KUBE-HOSTPORTS - [0:0]", "-A PREROUTING -j KUBE-HOSTPORTS", "COMMIT"],
  ];
  const alone = new FakeIptables("ip");
  await alone.restore(foreign);
  assert.equal(await cleaned(await programmed(foreign)), alone.text());
});

test("chains that rules of others lead to are emptied and stay; everything else goes", async () => {
  const fake = await programmed([
    ...[
      "*nat",
      ":MINE - [0:0]",
      ":KUBE-MARK-MASQ - [0:0]",
      "-A MINE -s 192.0.2.1 -j KUBE-MARK-MASQ",
      "COMMIT",
    ],
    ...["*filter", ":KUBE-FIREWALL - [0:0]", "-A FORWARD -j KUBE-FIREWALL", "COMMIT"],
  ]);
  const service = /^:(KUBE-EXT-\S+)/m.exec(fake.text())?.[1] ?? "";
  const jump = ["*nat", `-A MINE -j ${service}`, "-A PREROUTING -m tcp -j KUBE-SERVICES", "COMMIT"];
  assert.deepEqual(await fake.restore(jump), { kind: "restored" });
  const { held } = planCleanup(parseSaved(fake.text()));
  const want = ["filter KUBE-FIREWALL", "nat KUBE-MARK-MASQ", "nat KUBE-SERVICES", `nat ${service}`];
  assert.deepEqual(held.toSorted(), want.toSorted());
  const text = await cleaned(fake);
  const chains = [...text.matchAll(/^:(KUBE-\S+)/gm)].map(([, chain]) => chain ?? "");
  assert.deepEqual(
    chains.toSorted(),
    ["KUBE-FIREWALL", "KUBE-MARK-MASQ", "KUBE-SERVICES", service].toSorted(),
  );
  assert.equal(text.match(/^-A KUBE-/gm), null, "no rule of ours is left");
  assert.equal(text.match(/^-A/gm)?.length, 4, "and every rule of others");
});

test("what a kubelet shares stays while it is there", async () => {
  const kubelet = [
    ...["*mangle", ":KUBE-KUBELET-CANARY - [0:0]", "COMMIT"],
    ...["*nat", ":KUBE-MARK-MASQ - [0:0]", "COMMIT"],
    ...["*filter", ":KUBE-FIREWALL - [0:0]", `-A KUBE-FIREWALL ${GUARD_RULE}`, "COMMIT"],
  ];
  const text = await cleaned(await programmed(kubelet));
  assert.match(text, /^:KUBE-MARK-MASQ /m);
  assert.ok(text.includes(`-A KUBE-FIREWALL ${GUARD_RULE}`));
  assert.equal(text.match(/KUBE-FIREWALL -|KUBE-FIREWALL !/g)?.length, 2, "the guard is there once");
  assert.doesNotMatch(text, /KUBE-SVC|KUBE-SERVICES|KUBE-PROXY/);
});

test("nothing of ours: nothing to do", () => {
  assert.deepEqual(planCleanup(parseSaved(new FakeIptables("ip").text())), { held: [] });
});
