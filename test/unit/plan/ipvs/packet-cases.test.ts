/**
 * Every stateless packet case of ipvs mode, walked through the planned table and virtual servers: fast, and before any
 * kernel. A case without `only` includes ipvs; where upstream's ipvs has a defect of its own, the right behaviour counts.
 */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ipFamily } from "../../../../src/model/ip.ts";
import { packIp, packPort } from "../../../../src/plan/packed.ts";
import { planIpvs } from "../../../../src/plan/plan-text.ts";
import type { CaseExpectation } from "../../../support/packet-cases.ts";
import { caseNode, fixtureObjects, mustIp, readCaseFile } from "../../../support/packet-cases.ts";
import { TableModel } from "../../../support/table-model.ts";
import { packetOf, summarise } from "../../../support/traced-case.ts";
import type { VirtualServers } from "../../../support/tracer.ts";
import { Tracer } from "../../../support/tracer.ts";

const ONE_SET = "has one set of destinations: with local endpoints, clients on the node get those too";
const OWN = "the node's own connections come from the service address and are always masqueraded";
const REFUSED = "the address is the node's: a port without frontend is refused";
/** Differences of ipvs mode, each with its reason; docs/differences.md has them for users. */
const DIFFERENT: Readonly<Record<string, string>> = {
  "etpl-pod-extip": ONE_SET,
  "etpl-pod-lb": ONE_SET,
  "etpl-pod-np": ONE_SET,
  "mq-pod-np-etpl": ONE_SET,
  "mq-pod-lb-etpl": ONE_SET,
  "mq-node-np-etpl": ONE_SET,
  "mq-node-lb-etpl": ONE_SET,
  "tp-etpl-pod-np": ONE_SET,
  "mq-nodetect-node-cip": OWN,
  "mq-nodetect-node-cip-etpl": OWN,
  "mq-nodetect-node-cip-itpl": OWN,
  "lbr-otherport": REFUSED,
};

function agrees(seen: CaseExpectation, expected: CaseExpectation): boolean {
  // What is let through to the node is no business of ours.
  const result = expected.result === "ACCEPT" ? "NONE" : expected.result;
  if (seen.result !== result) return false;
  if (result !== "BACKENDS") return true;
  if (seen.backends?.join() !== expected.backends?.toSorted().join()) return false;
  return expected.masq === undefined || seen.masq === expected.masq;
}

suite("packet cases of ipvs mode through the tracer", () => {
  const file = readCaseFile();
  let played = 0;
  for (const entry of file.cases) {
    const own = entry.diff?.["ipvs"];
    const common = (entry.only ?? ["ipvs"]).includes("ipvs") || own !== undefined ? entry.expect : undefined;
    if (common === undefined || entry.id === "np-martian") continue;
    played++;
    test(entry.id, (t) => {
      const reason = DIFFERENT[entry.id];
      if (reason !== undefined) return t.skip(reason);
      const family = ipFamily(mustIp(entry.packet.dst));
      const { states } = planIpvs(fixtureObjects(file, entry.fixture), caseNode(file, entry, "iptables"));
      const { nft, servers, addresses } = states[family];
      const map: VirtualServers = new Map(
        servers.map(({ service, destinations }) => [
          `${service.protocol} ${packIp(service.address)}${packPort(service.port)}`,
          destinations.flatMap(({ address, port, weight }) =>
            Array.from({ length: weight }, () => packIp(address) + packPort(port)),
          ),
        ]),
      );
      const packet = packetOf(file, entry, addresses);
      const seen = summarise(new Tracer(new TableModel().apply(nft), packet, map).trace());
      const accepted = [common, ...(own === undefined ? [] : [own])];
      assert.ok(
        accepted.some((expected) => agrees(seen, expected)),
        `${JSON.stringify(seen)} is none of ${JSON.stringify(accepted)}`,
      );
      return undefined;
    });
  }
  test("all cases were found", () => assert.ok(played > 120, `${played} played`));
});
