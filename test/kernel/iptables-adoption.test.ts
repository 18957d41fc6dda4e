/**
 * What iptables-save says of our rules is recognised, in both variants: for every object set of the golden files, what was
 * written needs no second writing, and a rule that somebody changed is found.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { LinuxIptables } from "../../src/drivers/iptables/index.ts";
import type { IpFamily } from "../../src/model/ip.ts";
import { IptablesCompiler } from "../../src/plan/iptables/compiler.ts";
import { parseSaved } from "../../src/plan/iptables/saved-state.ts";
import { Planner } from "../../src/plan/planner.ts";
import { caseNode, readCaseFile } from "../support/packet-cases.ts";
import { type PlannedSet, plannedSets } from "../support/planned-sets.ts";
import { insideNamespace, reexecuteInNamespace } from "./netns.ts";

const MANY = Number.POSITIVE_INFINITY;

function compilerOf({ objects, node }: PlannedSet, driver: LinuxIptables): IptablesCompiler {
  const planner = new Planner(node);
  planner.begin();
  for (const object of objects) planner.upsert(object);
  planner.commit(true);
  const changes = planner.takeChanges(MANY).filter(({ family }) => family === driver.family);
  const compiler = new IptablesCompiler(driver.family, node, driver);
  compiler.stage(changes);
  return compiler;
}

if (!insideNamespace())
  test("rules of ours are recognised, in a namespace", () => reexecuteInNamespace(import.meta.filename));
else
  suite("iptables-save says what was written", () => {
    const folder = mkdtempSync(join(tmpdir(), "nodeplane-adoption-"));
    process.env["XTABLES_LOCKFILE"] = join(folder, "lock");
    after(() => rmSync(folder, { recursive: true, force: true }));
    const file = readCaseFile();
    const [anyCase] = file.cases;
    assert.ok(anyCase !== undefined);
    const sets = plannedSets(file, caseNode(file, anyCase, "iptables"));
    const families: readonly IpFamily[] = ["ip", "ip6"];
    for (const variant of ["legacy", "nft"] as const)
      for (const family of families)
        test(`${variant} ${family}`, async () => {
          const driver = await LinuxIptables.open(family, variant);
          const saved = async () => parseSaved(await driver.save());
          for (const set of sets) {
            const compiler = compilerOf(set, driver);
            for (const { lines } of compiler.fullInputs(await saved(), MANY))
              assert.deepEqual(await driver.restore(lines), { kind: "restored" }, set.name);
            const again = compiler.fullInputs(await saved(), MANY).flatMap(({ lines }) => [...lines]);
            assert.deepEqual(again, [], `${set.name} is written again`);
          }
        });

    test("a rule more, a rule less and another rule are found", async () => {
      const driver = await LinuxIptables.open("ip", "legacy");
      const set = sets.find(({ name }) => name === "np");
      assert.ok(set !== undefined);
      const compiler = compilerOf(set, driver);
      const differs = async (): Promise<readonly string[]> => {
        const inputs = compiler.fullInputs(parseSaved(await driver.save()), MANY);
        for (const { lines } of inputs) await driver.restore(lines);
        return inputs.flatMap(({ lines }) => [...lines]).filter((line) => line.startsWith(":"));
      };
      await differs();
      const chain = /:(KUBE-SVC-\S+)/.exec(await driver.save())?.[1] ?? "";
      const run = (...args: readonly string[]) =>
        assert.equal(spawnSync("iptables-legacy", ["-t", "nat", ...args]).status, 0, args.join(" "));
      const own = [`:${chain} - [0:0]`];
      run("-A", chain, "-j", "ACCEPT");
      assert.deepEqual(await differs(), own);
      run("-D", chain, "1");
      assert.deepEqual(await differs(), own);
      run("-R", chain, "1", "-j", "KUBE-MARK-MASQ");
      assert.deepEqual(await differs(), own);
      run("-I", "KUBE-MARK-MASQ", "-j", "RETURN");
      assert.deepEqual(await differs(), [":KUBE-MARK-MASQ - [0:0]"]);
      assert.deepEqual(await differs(), []);
    });
  });
