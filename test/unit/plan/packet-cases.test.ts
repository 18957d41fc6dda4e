/** Every stateless packet case of nftables mode, walked through the compiled table: fast, and before any kernel. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { planNft } from "../../../src/plan/plan-text.ts";
import { caseNode, expectationFor, fixtureObjects, readCaseFiles } from "../../support/packet-cases.ts";
import { TableModel } from "../../support/table-model.ts";
import { packetOf, summarise } from "../../support/traced-case.ts";
import { Tracer } from "../../support/tracer.ts";

suite("packet cases of nftables mode through the tracer", () => {
  let played = 0;
  for (const [file, entry] of readCaseFiles().flatMap((each) =>
    each.cases.map((one) => [each, one] as const),
  )) {
    const expected = expectationFor(entry, "nftables");
    // The guard of np-martian is the kernel's own martian check: no rule of ours takes part.
    if (expected === undefined || entry.id === "np-martian") continue;
    played++;
    test(entry.id, () => {
      const packet = packetOf(file, entry);
      const { ops } = planNft(fixtureObjects(file, entry.fixture), caseNode(file, entry));
      const table = new TableModel().apply(ops[packet.family]);
      const seen = summarise(new Tracer(table, packet).trace());
      assert.equal(seen.result, expected.result);
      if (expected.result !== "BACKENDS") return;
      assert.deepEqual(seen.backends, expected.backends?.toSorted());
      if (expected.masq !== undefined) assert.equal(seen.masq, expected.masq);
    });
  }
  test("all cases were found", () => assert.ok(played > 550, `${played} played`));
});
