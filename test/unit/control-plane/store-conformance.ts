/** What every store does: run against the memory store and against SQLite. */
import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import {
  CompactedError,
  type Store,
  type StoreOptions,
  type WatchGroup,
} from "../../../src/control-plane/store/store.ts";

export interface StoreBackend {
  readonly name: string;
  open(t: TestContext, options: StoreOptions): Promise<Store>;
}

const OPTIONS: StoreOptions = { ephemeralPrefixes: ["/e/"], maxLogChanges: 1000 };

async function put(store: Store, key: string, value: string): Promise<number> {
  const result = await store.transact({ compare: [], operations: [{ type: "put", key, value }] });
  assert.equal(result.succeeded, true);
  return result.revision;
}

async function remove(store: Store, key: string): Promise<number> {
  return (await store.transact({ compare: [], operations: [{ type: "delete", key }] })).revision;
}

/** Collects what a watch delivers until `done` says it is enough. */
async function collect(
  store: Store,
  request: { prefix: string; from: number },
  done: (lines: readonly string[]) => boolean,
): Promise<readonly string[]> {
  const lines: string[] = [];
  return await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`watch saw only ${lines.join(", ")}`)), 5000);
    const finish = (): void => {
      clearTimeout(timer);
      watch.cancel();
      resolve(lines);
    };
    const watch = store.watch(request, {
      changes: (group) => {
        lines.push(...describeGroup(group));
        if (done(lines)) finish();
      },
      ended: (reason) => {
        lines.push(`ended ${reason}`);
        finish();
      },
    });
  });
}

function describeGroup({ changes }: WatchGroup): string[] {
  return changes.map(
    ({ type, entry, previous }) => `${type} ${entry.key}=${entry.value} was ${previous?.value ?? "-"}`,
  );
}

export function storeConformance(backend: StoreBackend): void {
  const each = (name: string, body: (store: Store, t: TestContext) => Promise<void>): void => {
    test(name, async (t) => {
      const store = await backend.open(t, OPTIONS);
      t.after(async () => await store.close());
      await body(store, t);
    });
  };

  suite(`store: ${backend.name}`, () => {
    each("a write grows the one revision and is read back", async (store) => {
      const before = store.revision();
      const revision = await put(store, "/a/x", "1");
      assert.equal(revision, before + 1);
      assert.equal(store.revision(), revision);
      const entry = { key: "/a/x", value: "1", modRevision: revision, createRevision: revision };
      assert.deepEqual(await store.get("/a/x"), entry);
      const second = await put(store, "/a/x", "2");
      assert.deepEqual(await store.get("/a/x"), { ...entry, value: "2", modRevision: second });
      assert.equal(await store.get("/a/none"), undefined);
    });

    each("a transaction whose comparison fails writes nothing", async (store) => {
      const revision = await put(store, "/a/x", "1");
      const result = await store.transact({
        compare: [
          { key: "/a/x", modRevision: revision },
          { key: "/a/y", modRevision: 7 },
        ],
        operations: [{ type: "put", key: "/a/x", value: "2" }],
      });
      assert.deepEqual(result, { succeeded: false, revision });
      assert.equal((await store.get("/a/x"))?.value, "1");
      const absent = await store.transact({
        compare: [{ key: "/a/y", modRevision: 0 }],
        operations: [
          { type: "put", key: "/a/y", value: "1" },
          { type: "put", key: "/a/z", value: "1" },
        ],
      });
      assert.equal(absent.succeeded, true);
      const [y, z] = [await store.get("/a/y"), await store.get("/a/z")];
      assert.equal(y?.modRevision, z?.modRevision, "one revision for the whole transaction");
    });

    each("of racing writers with the same comparison one wins", async (store) => {
      const attempts = Array.from({ length: 20 }, async (_, index) =>
        store.transact({
          compare: [{ key: "/a/x", modRevision: 0 }],
          operations: [{ type: "put", key: "/a/x", value: String(index) }],
        }),
      );
      const results = await Promise.all(attempts);
      assert.equal(results.filter(({ succeeded }) => succeeded).length, 1);
    });

    each("deleting what is not there changes nothing", async (store) => {
      const before = store.revision();
      assert.equal(await remove(store, "/a/x"), before);
    });

    each("list pages through a prefix in key order", async (store) => {
      for (const name of ["c", "a", "b", "d"]) await put(store, `/a/${name}`, name);
      await put(store, "/ab", "no");
      await put(store, "/b/x", "no");
      const first = await store.list({ prefix: "/a/", limit: 3 });
      assert.deepEqual(
        first.entries.map(({ value }) => value),
        ["a", "b", "c"],
      );
      assert.equal(first.remaining, 1);
      const rest = await store.list({ prefix: "/a/", limit: 3, after: "/a/c", revision: first.revision });
      assert.deepEqual(
        rest.entries.map(({ value }) => value),
        ["d"],
      );
      assert.equal(rest.remaining, 0);
    });

    each("list at an old revision shows that state", async (store) => {
      await put(store, "/a/kept", "1");
      await put(store, "/a/gone", "1");
      const revision = await put(store, "/a/changed", "1");
      await put(store, "/a/changed", "2");
      await put(store, "/a/changed", "3");
      await remove(store, "/a/gone");
      await put(store, "/a/gone", "again");
      await put(store, "/a/new", "1");
      const old = await store.list({ prefix: "/a/", revision });
      assert.deepEqual(
        old.entries.map(({ key, value }) => `${key}=${value}`),
        ["/a/changed=1", "/a/gone=1", "/a/kept=1"],
      );
      assert.equal(old.revision, revision);
      const page = await store.list({ prefix: "/a/", revision, limit: 1, after: "/a/changed" });
      assert.deepEqual(
        page.entries.map(({ key }) => key),
        ["/a/gone"],
      );
      assert.equal(page.remaining, 1);
    });

    each("pages at an old revision are its state, whatever happens meanwhile", async (store) => {
      // A small fixed generator: the same histories on every run.
      let seed = 7;
      const random = (below: number): number => {
        seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
        return Math.floor(seed / 65_536) % below;
      };
      const change = async (): Promise<void> => {
        const key = `/a/${String(random(40)).padStart(2, "0")}`;
        if (random(3) === 0) await remove(store, key);
        else await put(store, key, String(random(1000)));
      };
      for (let index = 0; index < 60; index += 1) await change();
      for (let round = 0; round < 10; round += 1) {
        const wanted = await store.list({ prefix: "/a/" });
        const seen: string[] = [];
        for (let after: string | undefined; ; ) {
          await change();
          await change();
          const { revision } = wanted;
          const page = await store.list({
            prefix: "/a/",
            limit: 1 + random(6),
            revision,
            ...(after === undefined ? {} : { after }),
          });
          seen.push(...page.entries.map(({ key, value }) => `${key}=${value}`));
          if (page.remaining === 0) break;
          after = page.entries.at(-1)?.key;
        }
        assert.deepEqual(
          seen,
          wanted.entries.map(({ key, value }) => `${key}=${value}`),
        );
      }
    });

    each("a watch delivers old changes, then live ones, without a gap", async (store) => {
      const from = await put(store, "/a/x", "1");
      await put(store, "/a/x", "2");
      await put(store, "/b/x", "other");
      const seen = collect(store, { prefix: "/a/", from }, (lines) => lines.length === 4);
      await put(store, "/a/y", "1");
      await remove(store, "/a/x");
      await put(store, "/a/z", "1");
      assert.deepEqual(await seen, [
        "put /a/x=2 was 1",
        "put /a/y=1 was -",
        "delete /a/x=2 was 2",
        "put /a/z=1 was -",
      ]);
    });

    each("a watch can start before what memory holds", async (store) => {
      const from = store.revision();
      // More than the ring of recent changes keeps by size, so the log has to be read.
      const big = "x".repeat(1024 * 1024);
      for (let index = 0; index < 12; index += 1) await put(store, `/a/${index}`, big);
      let count = 0;
      await new Promise<void>((resolve) => {
        const watch = store.watch(
          { prefix: "/a/", from },
          {
            changes: ({ changes }) => {
              count += changes.length;
              if (count === 12) resolve(watch.cancel());
            },
            ended: () => resolve(),
          },
        );
      });
      assert.equal(count, 12);
    });

    each("a compacted revision ends a watch and refuses a list", async (store) => {
      const old = await put(store, "/a/x", "1");
      await put(store, "/a/x", "2");
      const big = "x".repeat(1024 * 1024);
      for (let index = 0; index < 6; index += 1) await put(store, "/b/big", `${index}${big}`);
      await store.compact(store.revision());
      assert.equal(store.compactRevision(), store.revision());
      assert.deepEqual(await collect(store, { prefix: "/a/", from: old }, () => false), ["ended compacted"]);
      await assert.rejects(store.list({ prefix: "/a/", revision: old }), CompactedError);
      assert.equal((await store.list({ prefix: "/a/" })).entries.length, 1);
    });

    each("the log is bounded without being asked", async (store) => {
      const old = await put(store, "/a/x", "0");
      for (let round = 0; round < 6; round += 1) {
        const operations = Array.from({ length: 250 }, (_, index) => {
          return { type: "put" as const, key: `/a/${index}`, value: String(round) };
        });
        await store.transact({ compare: [], operations });
      }
      assert.ok(store.compactRevision() > old, `compacted up to ${store.compactRevision()}`);
    });

    each("ephemeral keys have state and live watches, but no history", async (store) => {
      const from = store.revision();
      const live = collect(store, { prefix: "/e/", from }, (lines) => lines.length === 2);
      await put(store, "/e/x", "1");
      await put(store, "/e/x", "2");
      assert.deepEqual(await live, ["put /e/x=1 was -", "put /e/x=2 was 1"]);
      assert.equal((await store.get("/e/x"))?.value, "2");
      const big = "x".repeat(1024 * 1024);
      for (let index = 0; index < 6; index += 1) await put(store, "/b/big", `${index}${big}`);
      assert.deepEqual(await collect(store, { prefix: "/e/", from }, () => false), ["ended compacted"]);
    });

    each("a lease takes its keys with it", async (store) => {
      const lease = await store.grantLease(3600);
      const operations = ["/e/a", "/e/b"].map((key) => ({ type: "put" as const, key, value: "1", lease }));
      await store.transact({ compare: [], operations });
      await put(store, "/e/b", "detached");
      assert.equal(await store.keepAlive(lease), true);
      const seen = collect(store, { prefix: "/e/", from: store.revision() }, (lines) => lines.length === 1);
      await store.revokeLease(lease);
      assert.deepEqual(await seen, ["delete /e/a=1 was 1"]);
      assert.equal((await store.get("/e/b"))?.value, "detached");
      assert.equal(await store.keepAlive(lease), false);
    });

    each("a lease ends by itself", async (store) => {
      const seen = collect(store, { prefix: "/e/", from: store.revision() }, (lines) => lines.length === 2);
      const lease = await store.grantLease(0.2);
      await store.transact({ compare: [], operations: [{ type: "put", key: "/e/a", value: "1", lease }] });
      assert.deepEqual(await seen, ["put /e/a=1 was -", "delete /e/a=1 was 1"]);
    });

    each("subscribe sees every group, progress included", async (store) => {
      const revisions: number[] = [];
      const end = store.subscribe(({ revision }) => revisions.push(revision));
      const first = await put(store, "/a/x", "1");
      const second = await put(store, "/e/x", "1");
      end();
      await put(store, "/a/x", "2");
      assert.deepEqual(revisions, [first, second]);
    });
  });
}
