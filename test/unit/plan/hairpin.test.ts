/** Who can meet itself: endpoints on this node, and those whose slice names no node. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { planNft } from "../../../src/plan/plan-text.ts";
import { endpoint, nodeConfig, service, slice } from "../../support/objects.ts";
import { mustIp } from "../../support/packet-cases.ts";
import { TableModel } from "../../support/table-model.ts";
import { Tracer } from "../../support/tracer.ts";

const ENDPOINTS = [
  endpoint("10.244.0.1", { nodeName: "node1" }),
  endpoint("10.244.0.2", { nodeName: "node2" }),
  endpoint("10.244.0.3"),
];

/** Whether the connection of an endpoint to itself, by way of its Service, is masqueraded. */
function isMasqueraded(address: string): boolean | undefined {
  const { ops } = planNft([service("web"), slice("web", ENDPOINTS)], nodeConfig());
  const outcomes = new Tracer(new TableModel().apply(ops.ip), {
    family: "ip",
    source: mustIp(address),
    destination: mustIp("10.96.0.10"),
    protocol: 6,
    port: 80,
    isFromNode: false,
    nodeAddresses: new Set(),
  }).trace();
  const own = outcomes.find(({ backend }) => backend === `${address}:8080`);
  assert.ok(own !== undefined, JSON.stringify(outcomes));
  return own.masquerade;
}

suite("hairpin", () => {
  test("an endpoint on this node", () => assert.equal(isMasqueraded("10.244.0.1"), true));
  test("an endpoint on another node", () => assert.equal(isMasqueraded("10.244.0.2"), false));
  test("an endpoint on a node that its slice does not name", () =>
    assert.equal(isMasqueraded("10.244.0.3"), true));
});
