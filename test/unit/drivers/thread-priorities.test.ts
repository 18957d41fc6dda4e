/** Levels of the threads of this very process, whose helpers of V8 are real. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { getPriority } from "node:os";
import { pid } from "node:process";
import { test } from "node:test";
import { ThreadPriorities } from "../../../src/drivers/process/thread-priorities.ts";

/** Levels above the start of this process, by name of thread. */
function levels(start: number): ReadonlyMap<string, ReadonlySet<number>> {
  const found = new Map<string, Set<number>>();
  for (const task of readdirSync("/proc/self/task")) {
    const comm = readFileSync(`/proc/self/task/${task}/comm`, "latin1").trim();
    const name = Number(task) === pid ? "main" : comm.replace(/^node-/, "");
    const level = getPriority(Number(task)) - start;
    found.set(name, (found.get(name) ?? new Set()).add(level));
  }
  return found;
}

test("arrange() puts JavaScript behind named threads and V8's helpers behind JavaScript", async () => {
  const start = getPriority();
  const priorities = new ThreadPriorities("DelayedTask");
  await priorities.arrange();
  const first = levels(start);
  // Below the lowest level, 19, there is nothing.
  assert.deepEqual([...(first.get("main") ?? [])], [Math.min(5, 19 - start)]);
  assert.deepEqual([...(first.get("V8Worker") ?? [])], [Math.min(10, 19 - start)]);
  const named = [...first].filter(([name]) => name.startsWith("DelayedTask"));
  assert.deepEqual(
    named.map(([, found]) => [...found]),
    [[0]],
  );
  await priorities.arrange();
  assert.deepEqual(levels(start), first, "a second time changes nothing");
});
