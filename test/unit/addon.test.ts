/** The native addon exports exactly what native/addon.d.ts declares, and checks its arguments. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { addon, isSystemError } from "../../src/drivers/addon.ts";

test("the addon's functions are those of its declaration", () => {
  const text = readFileSync(join(import.meta.dirname, "../../native/addon.d.ts"), "utf8");
  const body = text.slice(text.indexOf("export interface Addon"));
  const declared = [...body.matchAll(/^ {2}([a-zA-Z]+)\(/gm)].map((match) => match[1]);
  assert.deepEqual(declared.toSorted(), Object.keys(addon()).toSorted());
});

test("a wrong argument is a TypeError, a failed system call an error with its name", () => {
  const native = addon() as unknown as Record<string, (...args: unknown[]) => unknown>;
  for (const name of Object.keys(native)) {
    assert.throws(() => native[name]?.(), TypeError, name);
    assert.throws(() => native[name]?.({}, {}, {}, {}, {}), TypeError, name);
  }
  assert.throws(
    () => addon().sdNotify("/nonexistent/socket", "READY=1"),
    (error) => isSystemError(error) && error.code === "ENOENT" && error.syscall === "sendto",
  );
});
