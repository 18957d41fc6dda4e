/** Both stores under the conformance suite; what only a store on disk can do. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { MemoryStore } from "../../../src/control-plane/store/memory-store.ts";
import { SqliteStore } from "../../../src/control-plane/store/sqlite-store.ts";
import type { StoreOptions } from "../../../src/control-plane/store/store.ts";
import { storeConformance } from "./store-conformance.ts";

const OPTIONS: StoreOptions = { ephemeralPrefixes: ["/e/"] };

async function temporaryFile(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "nodeplane-store-"));
  t.after(async () => await rm(folder, { recursive: true }));
  return join(folder, "state.db");
}

storeConformance({
  name: "memory",
  open: async (_, options) => await Promise.resolve(new MemoryStore(options)),
});
storeConformance({
  name: "sqlite",
  open: async (t, options) => await SqliteStore.open(await temporaryFile(t), options),
});

test("sqlite: state, revision, epoch and history survive a restart", async (t) => {
  const path = await temporaryFile(t);
  const first = await SqliteStore.open(path, OPTIONS);
  const from = first.revision();
  for (const value of ["1", "2"]) {
    await first.transact({ compare: [], operations: [{ type: "put", key: "/a/x", value }] });
  }
  await first.transact({ compare: [], operations: [{ type: "put", key: "/e/x", value: "1" }] });
  const { epoch } = first;
  const revision = first.revision();
  await first.close();

  const second = await SqliteStore.open(path, OPTIONS);
  t.after(async () => await second.close());
  assert.equal(second.epoch, epoch);
  assert.equal(second.revision(), revision);
  assert.equal((await second.get("/e/x"))?.value, "1");
  const values: string[] = [];
  await new Promise<void>((resolve) => {
    second.watch(
      { prefix: "/a/", from },
      {
        changes: ({ changes }) => {
          values.push(...changes.map(({ entry }) => entry.value));
          if (values.length === 2) resolve();
        },
        ended: () => resolve(),
      },
    );
  });
  assert.deepEqual(values, ["1", "2"]);
});

test("sqlite: a second process on the same file is refused", async (t) => {
  const path = await temporaryFile(t);
  const store = await SqliteStore.open(path, OPTIONS);
  t.after(async () => await store.close());
  await assert.rejects(SqliteStore.open(path, OPTIONS), {
    code: "STORE_FAILED",
    message: /in use by another process/,
  });
});

test("sqlite: a file that is no database is refused", async (t) => {
  const path = await temporaryFile(t);
  const { writeFile } = await import("node:fs/promises");
  await writeFile(path, "not a database, but long enough to be read as one".repeat(20));
  await assert.rejects(SqliteStore.open(path, OPTIONS), { code: "STORE_FAILED" });
});
