/**
 * SIGKILL at random moments: what was acknowledged is there, whole transactions only, and history agrees with state.
 * This file is also the process that is killed.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { SqliteStore } from "../../../src/control-plane/store/sqlite-store.ts";
import type { Change } from "../../../src/control-plane/store/store.ts";

const ROUNDS = 5;
const OPTIONS = { ephemeralPrefixes: ["/e/"], maxLogChanges: 400 };

/** Writes pairs of keys for ever, some at the same time, and says after each answer which it was. */
async function writeForEver(path: string): Promise<never> {
  const store = await SqliteStore.open(path, OPTIONS);
  const worker = async (name: number): Promise<never> => {
    for (let count = Number((await store.get(`/a/${name}`))?.value ?? 0) + 1; ; count += 1) {
      const value = String(count);
      const { revision } = await store.transact({
        compare: [],
        operations: [
          { type: "put", key: `/a/${name}`, value },
          { type: "put", key: `/b/${name}`, value },
          { type: "put", key: `/e/${name}`, value },
        ],
      });
      process.stdout.write(`${name} ${count} ${revision}\n`);
    }
  };
  return await Promise.any([0, 1, 2, 3].map(worker));
}

async function writeUntilKilled(
  path: string,
  afterMs: number,
): Promise<ReadonlyMap<string, readonly [number, number]>> {
  const env = { ...process.env };
  delete env["NODE_TEST_CONTEXT"];
  const child = spawn(process.execPath, [import.meta.filename, "writer", path], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const acknowledged = new Map<string, readonly [number, number]>();
  for await (const line of createInterface({ input: child.stdout })) {
    if (acknowledged.size === 0) setTimeout(() => child.kill("SIGKILL"), afterMs);
    const [name = "", count, revision] = line.split(" ");
    acknowledged.set(name, [Number(count), Number(revision)]);
  }
  return acknowledged;
}

async function check(
  path: string,
  acknowledged: ReadonlyMap<string, readonly [number, number]>,
): Promise<void> {
  const store = await SqliteStore.open(path, OPTIONS);
  try {
    for (const [name, [count, revision]] of acknowledged) {
      const [a, b, e] = [
        await store.get(`/a/${name}`),
        await store.get(`/b/${name}`),
        await store.get(`/e/${name}`),
      ];
      assert.ok(Number(a?.value) >= count, `writer ${name}: acknowledged ${count}, found ${a?.value}`);
      assert.ok(store.revision() >= revision);
      assert.deepEqual([b?.value, e?.value], [a?.value, a?.value], "half a transaction");
      assert.equal(b?.modRevision, a?.modRevision);
    }
    await checkHistory(store);
  } finally {
    await store.close();
  }
}

/** State at the oldest revision plus the log is the state now. */
async function checkHistory(store: SqliteStore): Promise<void> {
  const from = store.compactRevision();
  const state = new Map(
    (await store.list({ prefix: "/a/", revision: from })).entries.map(({ key, value }) => [key, value]),
  );
  const changes: Change[] = [];
  await new Promise<void>((resolve) => {
    const watch = store.watch(
      { prefix: "/a/", from },
      {
        changes: (group) => {
          changes.push(...group.changes);
          if (group.revision === store.revision()) resolve(watch.cancel());
        },
        ended: () => resolve(),
      },
    );
  });
  for (const { entry } of changes) state.set(entry.key, entry.value);
  const now = await store.list({ prefix: "/a/" });
  assert.deepEqual(
    [...state].sort(),
    now.entries.map(({ key, value }) => [key, value]),
  );
}

if (process.argv[2] === "writer") await writeForEver(process.argv[3] ?? "");
else {
  test("what was acknowledged survives SIGKILL", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "nodeplane-crash-"));
    t.after(async () => await rm(folder, { recursive: true }));
    const path = join(folder, "state.db");
    for (let round = 0; round < ROUNDS; round += 1) {
      const afterMs = 20 + Math.floor(Math.random() * 200);
      t.diagnostic(`round ${round}: killed after ${afterMs} ms`);
      const acknowledged = await writeUntilKilled(path, afterMs);
      assert.notEqual(acknowledged.size, 0);
      await check(path, acknowledged);
    }
  });
}
