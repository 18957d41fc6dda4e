/** Connections of service ports from what elements of the frontend maps counted: each is counted once, and none twice. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { ConnectionTotals } from "../../../src/plan/connection-totals.ts";
import { countedFrontends, counterOf } from "../../../src/plan/nftables/counted-frontends.ts";
import type { Pair } from "../../../src/plan/nftables/names.ts";
import { type CompiledUnit, frontendPairKey } from "../../../src/plan/nftables/unit-elements.ts";
import { packIp } from "../../../src/plan/packed.ts";
import type { Frontend, UnitShape } from "../../../src/plan/unit.ts";
import { mustIp } from "../../support/packet-cases.ts";

const CLUSTER = frontend("internal", "10.96.0.1", 80);
const EXTERNAL = frontend("external", "192.0.2.1", 80);
const NODE_PORT = frontend("node-port", "", 30_080);

function frontend(kind: Frontend["class"], address: string, port: number): Frontend {
  const packed = address === "" ? "" : packIp(mustIp(address));
  return { class: kind, address: packed, port, isGuarded: false, field: "" };
}

function unit(key: string, ...frontends: readonly Frontend[]): CompiledUnit {
  const shape: UnitShape = {
    key,
    namespace: "ns",
    service: key,
    portName: "",
    family: "ip",
    protocol: 6,
    internalPolicy: "Cluster",
    externalPolicy: "Cluster",
    affinitySeconds: 0,
    sourceRanges: [],
    frontends,
  };
  return { shape, clusterSlots: "", localSlots: "", hasAny: true, hairpins: "" };
}

/** A reading: what each frontend of the unit shows in a map. */
function counts(
  of: CompiledUnit,
  ...shown: readonly (readonly [Frontend, Pair, number])[]
): Map<string, number> {
  return new Map(shown.map(([one, pair, n]) => [counterOf(pair, frontendPairKey(of.shape, one).key), n]));
}

class Totals extends ConnectionTotals {
  read(units: readonly CompiledUnit[], shown: ReadonlyMap<string, number>): void {
    this.take(countedFrontends(units), shown);
  }

  of(key: string): number {
    return [...this.latest].find(({ shape }) => shape.key === key)?.connections ?? 0;
  }
}

suite("connection totals", () => {
  const web = unit("web", CLUSTER, EXTERNAL, NODE_PORT);
  const reading = (n: number, external = n, nodePort = n) =>
    counts(
      web,
      [CLUSTER, "frontend", n],
      [EXTERNAL, "frontend", external],
      [NODE_PORT, "node-port", nodePort],
    );

  test("all frontends of a service port together, from the first reading on", () => {
    const totals = new Totals();
    assert.equal(totals.of("web"), 0);
    totals.read([web], reading(1, 20, 300));
    assert.equal(totals.of("web"), 321);
    totals.read([web], reading(2, 20, 301));
    assert.equal(totals.of("web"), 323);
  });

  test("an element that started anew counts from zero, the others go on", () => {
    const totals = new Totals();
    totals.read([web], reading(100, 100, 100));
    totals.read([web], reading(3, 105, 100));
    assert.equal(totals.of("web"), 308);
  });

  test("what a reading lacks is not counted again when it is back", () => {
    const totals = new Totals();
    totals.read([web], reading(100));
    totals.read([web], counts(web, [CLUSTER, "frontend", 110]));
    totals.read([web], reading(110, 101, 100));
    assert.equal(totals.of("web"), 311);
  });

  test("with policy Local the short map, which comes first, has seen everything; a cluster address has none", () => {
    const totals = new Totals();
    const local = { ...web, shape: { ...web.shape, externalPolicy: "Local" as const }, clusterSlots: "some" };
    const shown = (short: number, behind: number) =>
      counts(
        web,
        [CLUSTER, "frontend", 1],
        [CLUSTER, "short-frontend", 50],
        [EXTERNAL, "short-frontend", short],
        [EXTERNAL, "frontend", behind],
      );
    totals.read([local], shown(10, 7));
    assert.equal(totals.of("web"), 11);
    totals.read([local], shown(15, 7));
    assert.equal(totals.of("web"), 16);
    // Moved between the pages of a dump.
    totals.read([local], counts(web, [CLUSTER, "frontend", 1], [EXTERNAL, "frontend", 7]));
    assert.equal(totals.of("web"), 16);
    totals.read([{ ...local, clusterSlots: "" }], shown(15, 2));
    assert.equal(totals.of("web"), 18);
  });

  test("the same port number as node port and on an address is not mixed up", () => {
    const totals = new Totals();
    const same = unit("same", frontend("node-port", "", 80));
    totals.read([same], counts(same, [frontend("node-port", "", 80), "frontend", 9]));
    assert.equal(totals.of("same"), 0);
  });

  test("a unit that is gone is forgotten", () => {
    const totals = new Totals();
    totals.read([web], reading(5));
    totals.read([], reading(5));
    assert.equal(totals.of("web"), 0);
    totals.read([web], reading(1));
    assert.equal(totals.of("web"), 3);
  });
});
