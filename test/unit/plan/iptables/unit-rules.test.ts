/** The text of a service port's own chains: counted once, kept only when asked, the same each time it is rendered. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { IptablesCompiler } from "../../../../src/plan/iptables/compiler.ts";
import { parseSaved } from "../../../../src/plan/iptables/saved-state.ts";
import { CompiledUnit } from "../../../../src/plan/iptables/unit-rules.ts";
import { Planner } from "../../../../src/plan/planner.ts";
import type { UnitChange } from "../../../../src/plan/unit.ts";
import { caseNode, readCaseFile } from "../../../support/packet-cases.ts";
import { plannedSets } from "../../../support/planned-sets.ts";

const EMPTY = parseSaved("*filter\nCOMMIT\n*nat\nCOMMIT\n");
const CONTEXT = { local: undefined, masqueradeAll: true, isLarge: false, countsLoopback: false };
const FEATURES = { hasRandomFully: true, hasAccounting: false };

const file = readCaseFile();
const node = caseNode(file, file.cases[0] ?? assert.fail(), "iptables");
const sets = plannedSets(file, node);

function changesOf(objects: (typeof sets)[number]["objects"]): readonly UnitChange[] {
  const planner = new Planner(node);
  planner.begin();
  for (const object of objects) planner.upsert(object);
  planner.commit(true);
  return planner.takeChanges(Number.POSITIVE_INFINITY).filter(({ family }) => family === "ip");
}

const units = sets.flatMap(({ objects }) => changesOf(objects).flatMap(({ unit }) => unit ?? []));

test("chains are rendered anew, equal, unless they are kept", () => {
  assert.ok(units.length > 20);
  for (const unit of units) {
    const compiled = new CompiledUnit(unit, CONTEXT);
    const first = compiled.chains();
    assert.notEqual(compiled.chains(), first);
    assert.deepEqual(compiled.chains(), first);
    const kept = compiled.keepChains();
    assert.equal(compiled.chains(), kept);
    compiled.forgetChains();
    assert.notEqual(compiled.chains(), kept);
    assert.deepEqual(compiled.chains(), kept);
  }
});

test("no name can end a comment or a line, wherever its object comes from", () => {
  const [unit] = units.filter(({ cluster }) => cluster.length > 0);
  assert.ok(unit !== undefined);
  const portName = 'a" -j ACCEPT\n-A INPUT -j DROP -m comment --comment "';
  const compiled = new CompiledUnit({ ...unit, shape: { ...unit.shape, portName } }, CONTEXT);
  const lines = [
    ...Object.values(compiled.shared).flat(),
    ...compiled.chains().flatMap(({ rules }) => rules),
  ];
  assert.ok(lines.length > 2);
  for (const line of lines) {
    assert.doesNotMatch(line, /\n/);
    assert.equal(line.split('"').length % 2, 1);
    assert.doesNotMatch(line.replaceAll(/"[^"]*"/g, ""), /ACCEPT|INPUT/);
  }
});

test("rules are counted as they are written", () => {
  for (const { name, objects } of sets) {
    const compiler = new IptablesCompiler("ip", node, FEATURES);
    compiler.stage(changesOf(objects));
    const input = compiler.fullInput(EMPTY);
    const written = { filter: 0, nat: 0 };
    let table = "";
    for (const line of input.lines) {
      if (line.startsWith("*")) table = line.slice(1);
      // Jumps into our chains stand in chains that are not ours.
      if (line.startsWith("-A ") && (table === "filter" || table === "nat")) written[table]++;
    }
    assert.deepEqual(compiler.ruleCounts(), written, name);
    const { filter, nat } = input.size.rules;
    assert.deepEqual({ filter, nat }, written, name);
    assert.equal(
      [...input.lines].length,
      [...input.text].reduce((sum, some) => sum + some.split("\n").length, 0),
    );
  }
});
