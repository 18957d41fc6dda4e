/** Test code. A packet case as the tracers take it, and what they found as an expectation of the case file. */
import assert from "node:assert/strict";
import { ipFamily } from "../../src/model/ip.ts";
import { type CaseExpectation, type CaseFile, mustIp, type PacketCase } from "./packet-cases.ts";
import type { Outcome, TracedPacket } from "./tracer.ts";

const PROTOCOLS = { TCP: 6, UDP: 17, SCTP: 132, ICMP: 1 } as const;
/** iptables writes probabilities with ten digits. */
const ROUNDING = 1e-6;

/** @param addresses that the node has beside its own, as with IPVS */
export function packetOf(
  file: CaseFile,
  { packet }: PacketCase,
  addresses: readonly string[] = [],
): TracedPacket {
  const known = file.topology.addresses;
  const destination = mustIp(packet.dst);
  const own = ["node", "node_alt", "node_v6", "node_alt_v6"].map((name) => known[name] ?? "");
  return {
    family: ipFamily(destination),
    source: mustIp(packet.src ?? known[packet.from] ?? ""),
    destination,
    protocol: PROTOCOLS[packet.proto],
    port: packet.port,
    isFromNode: packet.from.startsWith("node"),
    nodeAddresses: new Set([
      ...[...own, "::1", ...addresses],
      ...(packet.from === "node" && packet.src ? [packet.src] : []),
    ]),
  };
}

/** All outcomes must agree and be certain together; backends are collected. */
export function summarise(outcomes: readonly Outcome[]): CaseExpectation {
  const total = outcomes.reduce((sum, outcome) => sum + outcome.probability, 0);
  assert.ok(Math.abs(total - 1) < ROUNDING, `probabilities sum to ${total}`);
  const [first] = outcomes;
  for (const outcome of outcomes) {
    assert.equal(outcome.result, first?.result, "one result expected");
    assert.equal(outcome.masquerade, first?.masquerade, "all backends agree on masquerade");
  }
  if (first?.result !== "BACKEND") return { result: first?.result ?? "NONE" };
  const backends = [...new Set(outcomes.map((outcome) => outcome.backend ?? ""))].sort();
  return { result: "BACKENDS", backends, masq: first.masquerade ?? false };
}
