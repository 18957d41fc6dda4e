/** Every stateless packet case of iptables mode, walked through the planned text: fast, and before any kernel. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ipFamily } from "../../../../src/model/ip.ts";
import { planIptables } from "../../../../src/plan/plan-text.ts";
import { IptablesTracer, readRules } from "../../../support/iptables-tracer.ts";
import type { CaseExpectation, CaseFile, PacketCase } from "../../../support/packet-cases.ts";
import {
  caseNode,
  expectationFor,
  fixtureObjects,
  mustIp,
  readCaseFile,
} from "../../../support/packet-cases.ts";
import type { Outcome, TracedPacket } from "../../../support/tracer.ts";

const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132, ICMP: 1 } as const;

function packetOf(file: CaseFile, { packet }: PacketCase): TracedPacket {
  const { addresses } = file.topology;
  const destination = mustIp(packet.dst);
  const own = ["node", "node_alt", "node_v6", "node_alt_v6"].map((name) => addresses[name] ?? "");
  return {
    family: ipFamily(destination),
    source: mustIp(packet.src ?? addresses[packet.from] ?? ""),
    destination,
    protocol: PROTOCOLS[packet.proto],
    port: packet.port,
    isFromNode: packet.from.startsWith("node"),
    nodeAddresses: new Set([...own, "::1", ...(packet.from === "node" && packet.src ? [packet.src] : [])]),
  };
}

/** All outcomes must agree; backends are collected. */
function summarise(outcomes: readonly Outcome[]): CaseExpectation {
  const total = outcomes.reduce((sum, outcome) => sum + outcome.probability, 0);
  assert.ok(Math.abs(total - 1) < 1e-6, `probabilities sum to ${total}`);
  const [first] = outcomes;
  for (const outcome of outcomes) {
    assert.equal(outcome.result, first?.result, "one result expected");
    assert.equal(outcome.masquerade, first?.masquerade, "all backends agree on masquerade");
  }
  if (first?.result !== "BACKEND") return { result: first?.result ?? "NONE" };
  const backends = [...new Set(outcomes.map((outcome) => outcome.backend ?? ""))].sort();
  return { result: "BACKENDS", backends, masq: first.masquerade ?? false };
}

suite("packet cases of iptables mode through the tracer", () => {
  const file = readCaseFile();
  let played = 0;
  for (const entry of file.cases) {
    const expected = expectationFor(entry, "iptables");
    if (expected === undefined) continue;
    played++;
    test(entry.id, () => {
      const packet = packetOf(file, entry);
      const { inputs } = planIptables(fixtureObjects(file, entry.fixture), caseNode(file, entry, "iptables"));
      const rules = readRules(inputs[packet.family].lines.join("\n"));
      const seen = summarise(new IptablesTracer(rules, packet).trace());
      // A port that is let through is not translated either.
      assert.equal(seen.result, expected.result === "ACCEPT" ? "NONE" : expected.result);
      if (expected.result !== "BACKENDS") return;
      assert.deepEqual(seen.backends, expected.backends?.toSorted());
      if (expected.masq !== undefined) assert.equal(seen.masq, expected.masq);
    });
  }
  test("all cases were found", () => assert.ok(played > 130, `${played} played`));
});
