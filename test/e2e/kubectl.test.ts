/**
 * One script of commands gives the same results with every kubectl that is found, a reduced form also with Debian
 * 12's. `RECORD=1` rewrites test/e2e/kubectl/script.txt with the newest one: commit a change only if you can explain it.
 */
import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { KINDS } from "../../src/control-plane/kinds/index.ts";
import { WIDGET } from "../unit/control-plane/widget.ts";
import { formatScript, parseScript, runStep, type Step } from "./kubectl/script.ts";
import { startControlPlane } from "./support/control-plane.ts";
import { findKubectls, type Kubectl } from "./support/kubectls.ts";

const SCRIPT = join(import.meta.dirname, "kubectl/script.txt");
/** The whole script is for this minor version and newer. */
const FULL_FROM = 27;

const steps = parseScript(await readFile(SCRIPT, "utf8"));
const found = await findKubectls();

test("at least one kubectl is found", (t) => {
  t.diagnostic(`kubectl ${found.map(({ version }) => version).join(", ")}`);
  assert.notEqual(found.length, 0, "no kubectl on PATH, in NODEPLANE_KUBECTLS or from apt");
});

/** Runs the steps on a fresh control plane. @returns what each printed */
async function play(kubectl: Kubectl, script: readonly Step[]): Promise<readonly string[]> {
  const folder = await mkdtemp(join(tmpdir(), "nodeplane-kubectl-"));
  const controlPlane = await startControlPlane([...KINDS, WIDGET]);
  try {
    await cp(join(import.meta.dirname, "kubectl/files"), folder, { recursive: true });
    await mkdir(join(folder, "bin"));
    await symlink(kubectl.path, join(folder, "bin/kubectl"));
    const env = {
      PATH: `${join(folder, "bin")}:/usr/sbin:/usr/bin:/sbin:/bin`,
      HOME: folder,
      KUBECONFIG: controlPlane.kubeconfig,
      LC_ALL: "C",
    };
    const outputs: string[] = [];
    for (const step of script) outputs.push(await runStep(step.command, { cwd: folder, env }));
    return outputs;
  } finally {
    await controlPlane.stop();
    await rm(folder, { recursive: true });
  }
}

if (process.env["RECORD"] === "1") {
  const newest = found.at(-1);
  test("record", async () => {
    assert.ok(newest);
    const outputs = await play(newest, steps);
    await writeFile(SCRIPT, formatScript(steps.map((step, i) => ({ ...step, expected: outputs[i] ?? "" }))));
  });
} else {
  for (const kubectl of found) {
    const full = kubectl.minor >= FULL_FROM;
    test(`${full ? "the script" : "its reduced form"} with kubectl ${kubectl.version}`, async () => {
      const script = steps.filter(({ isForAll }) => full || isForAll);
      const outputs = await play(kubectl, script);
      const differences = script.flatMap((step, index) => {
        const got = outputs[index] ?? "";
        if (got === step.expected) return [];
        return [`script.txt:${step.line} $ ${step.command}\n--- expected\n${step.expected}\n--- got\n${got}`];
      });
      assert.equal(differences.length, 0, `\n${differences.join("\n\n")}`);
    });
  }
}
