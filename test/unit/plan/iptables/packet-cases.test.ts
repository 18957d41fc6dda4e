/** Every stateless packet case of iptables mode, walked through the planned text: fast, and before any kernel. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { planIptables } from "../../../../src/plan/plan-text.ts";
import { IptablesTracer, readRules } from "../../../support/iptables-tracer.ts";
import { caseNode, expectationFor, fixtureObjects, readCaseFiles } from "../../../support/packet-cases.ts";
import { packetOf, summarise } from "../../../support/traced-case.ts";

suite("packet cases of iptables mode through the tracer", () => {
  let played = 0;
  for (const [file, entry] of readCaseFiles().flatMap((each) =>
    each.cases.map((one) => [each, one] as const),
  )) {
    const expected = expectationFor(entry, "iptables");
    if (expected === undefined) continue;
    played++;
    test(entry.id, () => {
      const packet = packetOf(file, entry);
      const { inputs } = planIptables(fixtureObjects(file, entry.fixture), caseNode(file, entry, "iptables"));
      const rules = readRules([...inputs[packet.family].lines].join("\n"));
      const seen = summarise(new IptablesTracer(rules, packet).trace());
      // A port that is let through is not translated either.
      assert.equal(seen.result, expected.result === "ACCEPT" ? "NONE" : expected.result);
      if (expected.result !== "BACKENDS") return;
      assert.deepEqual(seen.backends, expected.backends?.toSorted());
      if (expected.masq !== undefined) assert.equal(seen.masq, expected.masq);
    });
  }
  test("all cases were found", () => assert.ok(played > 550, `${played} played`));
});
