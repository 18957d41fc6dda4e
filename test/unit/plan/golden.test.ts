/**
 * `plan` for every object set of the packet cases and some more, in nftables and iptables mode, compared with files word for word
 * (test/golden). `npm run golden` writes them anew; read the difference before you commit it.
 */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite, test } from "node:test";
import type { FeedObject } from "../../../src/model/objects.ts";
import type { NodeConfig } from "../../../src/plan/node-config.ts";
import { planText } from "../../../src/plan/plan-text.ts";
import { caseNode, readCaseFile } from "../../support/packet-cases.ts";
import { plannedSets } from "../../support/planned-sets.ts";

const GOLDEN = join(import.meta.dirname, "../../golden");
const isRecording = process.env["RECORD"] === "1";
const file = readCaseFile();
const [anyCase] = file.cases;
if (anyCase === undefined) throw new Error("no cases");

/**
 * What a text has that the empty plan has not ("+ "), and the reverse ("- "): the layout of nftables mode is 600 lines that are
 * the same in every plan, so they stand in nothing.txt alone.
 */
function beside(text: string, empty: string): string {
  const marked = (from: string, without: string, mark: string): readonly string[] => {
    const left = new Map<string, number>();
    for (const line of without.split("\n")) left.set(line, (left.get(line) ?? 0) + 1);
    return from.split("\n").flatMap((line) => {
      const count = left.get(line) ?? 0;
      left.set(line, count - 1);
      return count > 0 ? [] : [`${mark} ${line}\n`];
    });
  };
  return [...marked(empty, text, "-"), ...marked(text, empty, "+")].join("");
}

for (const mode of ["nftables", "iptables"] as const)
  suite(`plans of ${mode} mode`, () => {
    const folder = join(GOLDEN, mode);
    const node = caseNode(file, anyCase, mode);
    const sets = plannedSets(file, node);
    const textOf = (objects: readonly FeedObject[], on: NodeConfig): string =>
      planText(objects, on, mode)?.text ?? "";
    const nothing = textOf([], node);

    if (isRecording) mkdirSync(folder, { recursive: true });
    for (const golden of sets)
      test(golden.name, () => {
        const text = textOf(golden.objects, golden.node);
        const isWhole = mode === "iptables" || golden.name === "nothing";
        const kept = isWhole ? text : beside(text, nothing);
        const path = join(folder, `${golden.name}.txt`);
        if (isRecording) writeFileSync(path, kept);
        assert.equal(kept, readFileSync(path, "utf8"));
        assert.equal(textOf(golden.objects.toReversed(), golden.node), text, "the order of objects matters");
      });

    test("there is no file without a set, and at least twenty sets", () => {
      const names = new Set(sets.map(({ name }) => `${name}.txt`));
      assert.deepEqual(
        readdirSync(folder).filter((name) => !names.has(name)),
        [],
      );
      assert.ok(sets.length >= 20);
    });
  });
