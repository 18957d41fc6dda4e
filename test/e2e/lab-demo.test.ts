/** The demo tells what it promises, with figures, and leaves nothing behind. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { tryRun } from "../../src/lab/run.ts";
import { labRemains, machineState } from "./support/machine.ts";

const NODEPLANE = join(import.meta.dirname, "../../bin/nodeplane");
/** The demo promises a minute on an idle machine; tests may run beside others. */
const TIMEOUT_MS = 120_000;

/** In this order. */
const CHAPTERS: readonly RegExp[] = [
  /node1, node2, node3 joined +\d+\.\d s/,
  /4 pods ready after \d+\.\d s/,
  /cluster address 10\.\d+\.\d+\.\d+, 4 endpoints in the kernel of every node/,
  /node3: 1000 connections in \d+\.\d s, none failed\n(?: +web-\d █+ +2\d\.\d %\n){4}/,
  /client: 1000 connections over 192\.168\.96\.11, 192\.168\.96\.12, 192\.168\.96\.13, none failed/,
  /web\.default\.svc\.cluster\.local\.\s+5\s+IN\s+A\s+10\./,
  /IN\s+SRV\s+0 100 80 web\.default\.svc\.cluster\.local\./,
  /the change was in all three kernels +\d+ ms later/,
  /0 failed connections after the change was programmed/,
  /the cluster is gone/,
];

test("the demo runs through, measures, and cleans up", async () => {
  const machine = await machineState();
  const { status, stdout, stderr } = await tryRun([NODEPLANE, "demo"], { timeoutMs: TIMEOUT_MS });
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  assert.ok(!stdout.includes("\u001b"), "colours although the output is no terminal");
  let rest = stdout;
  for (const chapter of CHAPTERS) {
    const found = chapter.exec(rest);
    assert.ok(found !== null, `${String(chapter)} is missing in:\n${rest}`);
    rest = rest.slice(found.index);
  }
  const name = /lab "(demo-[0-9a-f]+)"/.exec(stdout)?.[1] ?? "";
  assert.deepEqual(labRemains(name), []);
  assert.equal(await machineState(), machine);
});
