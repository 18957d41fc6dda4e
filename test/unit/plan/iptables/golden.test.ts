/**
 * `plan` in iptables mode for every object set of the packet cases and some more, compared with files word for word.
 * RECORD=1 writes them anew; read the difference before you commit it.
 */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { FeedObject } from "../../../../src/model/objects.ts";
import type { NodeConfig } from "../../../../src/plan/node-config.ts";
import { planText } from "../../../../src/plan/plan-text.ts";
import { caseNode, fixtureObjects, readCaseFile } from "../../../support/packet-cases.ts";

const FOLDER = join(import.meta.dirname, "../../../golden/iptables");
const isRecording = process.env["RECORD"] === "1";
const file = readCaseFile();
const [anyCase] = file.cases;
if (anyCase === undefined) throw new Error("no cases");
const node = caseNode(file, anyCase, "iptables");

interface Golden {
  readonly name: string;
  readonly objects: readonly FeedObject[];
  readonly node: NodeConfig;
}

function withWeights(objects: readonly FeedObject[]): FeedObject[] {
  return objects.map((object) =>
    object.kind === "EndpointSlice"
      ? { ...object, endpoints: object.endpoints.map((endpoint, i) => ({ ...endpoint, weight: i * 3 + 1 })) }
      : object,
  );
}

const sets: readonly Golden[] = [
  ...Object.keys(file.fixtures).map((name) => ({ name, objects: fixtureObjects(file, name), node })),
  {
    name: "node-masquerade-all",
    objects: fixtureObjects(file, "np"),
    node: { ...node, masqueradeAll: true },
  },
  { name: "node-mark-bit-5", objects: fixtureObjects(file, "np"), node: { ...node, masqueradeBit: 5 } },
  {
    name: "node-localhost-node-ports",
    objects: fixtureObjects(file, "np"),
    node: { ...node, localhostNodePorts: true },
  },
  {
    name: "node-bridge",
    objects: fixtureObjects(file, "etp_local"),
    node: { ...node, localTraffic: { kind: "interface", name: "cbr0", prefix: false } },
  },
  {
    name: "node-interface-prefix",
    objects: fixtureObjects(file, "etp_local"),
    node: { ...node, localTraffic: { kind: "interface", name: "cali", prefix: true } },
  },
  {
    name: "node-be-liberal",
    objects: fixtureObjects(file, "np"),
    node: { ...node, conntrackBeLiberal: true },
  },
  { name: "weights", objects: withWeights(fixtureObjects(file, "general")), node },
  { name: "nothing", objects: [], node },
];

if (isRecording) mkdirSync(FOLDER, { recursive: true });
for (const golden of sets)
  test(`plan of ${golden.name}`, () => {
    const { text = "" } = planText(golden.objects, golden.node, "iptables") ?? {};
    const path = join(FOLDER, `${golden.name}.txt`);
    if (isRecording) writeFileSync(path, text);
    assert.equal(text, readFileSync(path, "utf8"));
    const reversed = planText(golden.objects.toReversed(), golden.node, "iptables");
    assert.equal(reversed?.text, text, "the order of objects does not matter");
  });

test("there is no file without a set, and at least twenty sets", () => {
  const names = new Set(sets.map(({ name }) => `${name}.txt`));
  assert.deepEqual(
    readdirSync(FOLDER).filter((name) => !names.has(name)),
    [],
  );
  assert.ok(sets.length >= 20);
});
