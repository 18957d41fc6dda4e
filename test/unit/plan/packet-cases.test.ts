/** Every stateless packet case of nftables mode, walked through the compiled table: fast, and before any kernel. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ipFamily } from "../../../src/model/ip.ts";
import { planNft } from "../../../src/plan/plan-text.ts";
import type { CaseExpectation, CaseFile, PacketCase } from "../../support/packet-cases.ts";
import {
  caseNode,
  expectationFor,
  fixtureObjects,
  mustIp,
  readCaseFile,
} from "../../support/packet-cases.ts";
import { TableModel } from "../../support/table-model.ts";
import type { Outcome, TracedPacket } from "../../support/tracer.ts";
import { Tracer } from "../../support/tracer.ts";

const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132, ICMP: 1 } as const;

function packetOf(file: CaseFile, entry: PacketCase): TracedPacket {
  const { addresses } = file.topology;
  const { packet } = entry;
  const destination = mustIp(packet.dst);
  const names = ["node", "node_alt", "node_v6", "node_alt_v6"].map((name) => addresses[name] ?? "");
  return {
    family: ipFamily(destination),
    source: mustIp(packet.src ?? addresses[packet.from] ?? ""),
    destination,
    protocol: PROTOCOLS[packet.proto],
    port: packet.port,
    isFromNode: packet.from.startsWith("node"),
    nodeAddresses: new Set([...names, "::1", ...(packet.from === "node" && packet.src ? [packet.src] : [])]),
  };
}

/** The outcomes as an expectation: all results must agree, backends are collected. */
function summarise(outcomes: readonly Outcome[]): CaseExpectation {
  const total = outcomes.reduce((sum, outcome) => sum + outcome.probability, 0);
  assert.ok(Math.abs(total - 1) < 1e-9, `probabilities sum to ${total}`);
  const results = new Set(outcomes.map((outcome) => outcome.result));
  const masquerades = new Set(outcomes.map((outcome) => outcome.masquerade));
  assert.equal(results.size, 1, `one result expected, got ${[...results].join(" ")}`);
  const [first] = outcomes;
  if (first?.result !== "BACKEND") return { result: first?.result ?? "NONE" };
  assert.equal(masquerades.size, 1, "all backends agree on masquerade");
  const backends = [...new Set(outcomes.map((outcome) => outcome.backend ?? ""))].sort();
  return { result: "BACKENDS", backends, masq: first.masquerade ?? false };
}

suite("packet cases of nftables mode through the tracer", () => {
  const file = readCaseFile();
  let played = 0;
  for (const entry of file.cases) {
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
  test("all cases were found", () => assert.ok(played > 130, `${played} played`));
});
