/** State on disk: survives being cut at every byte, damage, SIGKILL while writing, and compaction. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { decodeObject } from "../../../src/codec/stream/decode-object.ts";
import { DiskStateStore } from "../../../src/feed/stream/disk-state-store.ts";
import type { FeedObject } from "../../../src/model/objects.ts";
import { messageGroup } from "./message-group.ts";
import { service, serviceKey } from "./stream-fixture.ts";

let folder = "";
let errors: string[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "np-state-"));
  errors = [];
});
afterEach(() => rmSync(folder, { recursive: true }));

const open = (slack?: number) => new DiskStateStore(folder, (error) => errors.push(error.message), slack);
const log = () => join(folder, "state.log");

async function snapshot(
  store: DiskStateStore,
  revision: number,
  objects: readonly FeedObject[],
): Promise<void> {
  await store.beginSnapshot("Service");
  await store.addToSnapshot(messageGroup(revision, 0, objects));
  await store.commitSnapshot();
}

/** Names and labels of what the store holds. */
async function contents(store: DiskStateStore): Promise<string> {
  const names: string[] = [];
  for await (const some of store.objects())
    for (const { bytes, start, end } of some) {
      const object = decodeObject(bytes, start, end);
      names.push(`${object?.meta.name}${object?.meta.labels["label"] ?? ""}`);
    }
  return names.sort().join(" ");
}

/** A log with a snapshot at revision 10 and three differences; what it holds after each. */
const STATES: Readonly<Record<number, string>> = { 10: "a b c", 11: "a b2 c", 12: "b2 c", 13: "b2 c d" };
async function writeSample(): Promise<Buffer> {
  const store = open();
  assert.equal(await store.load(), undefined);
  await snapshot(store, 10, [service("a"), service("b"), service("c")]);
  store.append([messageGroup(11, 10, [service("b", "10.96.0.1", "2")])]);
  store.append([messageGroup(12, 11, [serviceKey("a")])]);
  store.append([messageGroup(13, 12, [service("d")])]);
  await store.close();
  return readFileSync(log());
}

suite("state on disk", () => {
  test("what was kept comes back, each object once, with epoch, revision and sets", async () => {
    await writeSample();
    const store = open();
    const kept = await store.load();
    assert.deepEqual([kept?.epoch, kept?.revision, kept?.sets], ["e", 13, "Service"]);
    assert.ok(Math.abs((kept?.savedAtMs ?? 0) - Date.now()) < 60_000);
    assert.equal(await contents(store), STATES[13]);
    assert.equal(statSync(log()).mode & 0o777, 0o600);
    await store.close();
  });

  test("cut at every byte it holds the newest complete group, and can be appended to", async () => {
    const whole = await writeSample();
    const seen = new Set<number>();
    for (let size = whole.length; size >= 0; size--) {
      writeFileSync(log(), whole.subarray(0, size));
      const store = open();
      const kept = await store.load();
      if (kept === undefined) assert.equal(seen.size, 4, `nothing at ${size} bytes`);
      else {
        seen.add(kept.revision);
        assert.equal(await contents(store), STATES[kept.revision], `at ${size} bytes`);
        if (size % 16 === 0) {
          store.append([messageGroup(99, kept.revision, [service("z")])]);
          assert.equal(await contents(store), `${STATES[kept.revision]} z`, `appended at ${size} bytes`);
        }
      }
      await store.close();
    }
    assert.deepEqual([...seen], [13, 12, 11, 10]);
  });

  test("a changed byte drops what is behind it and nothing before it", async () => {
    const whole = await writeSample();
    for (let at = 0; at < whole.length; at += 3) {
      const damaged = Buffer.from(whole);
      damaged[at] = (damaged[at] ?? 0) ^ 0x55;
      writeFileSync(log(), damaged);
      const store = open();
      const kept = await store.load();
      if (kept !== undefined && kept.sets === "Service")
        assert.equal(await contents(store), STATES[kept.revision], `byte ${at}`);
      await store.close();
    }
  });

  test("a log without a complete state is set aside and told, and a new one can be written", async () => {
    writeFileSync(log(), "nonsense");
    const store = open();
    assert.equal(await store.load(), undefined);
    assert.match(errors.join(), /state\.log\.damaged/);
    await snapshot(store, 5, [service("a")]);
    assert.equal(await contents(store), "a");
    await store.close();
    assert.equal(readFileSync(`${log()}.damaged`, "utf8"), "nonsense");
  });

  test("a half written snapshot does not harm the state that is there", async () => {
    await writeSample();
    const store = open();
    await store.load();
    await store.beginSnapshot("Service");
    const part = messageGroup(50, 0, [service("x")]);
    await store.addToSnapshot(part.subarray(0, part.length - 2));
    await store.abortSnapshot();
    assert.equal(await contents(store), STATES[13]);
    await store.beginSnapshot("Service");
    await store.addToSnapshot(part);
    // Killed here: the next start finds the old state.
    const next = open();
    assert.equal((await next.load())?.revision, 13);
    await next.close();
    await store.close();
  });

  test("differences are folded when the log grows, and the state is the same", async () => {
    const store = open(2000);
    await store.load();
    await snapshot(
      store,
      1,
      Array.from({ length: 20 }, (_, index) => service(`s${index}`)),
    );
    const sizes: number[] = [];
    for (let revision = 2; revision <= 300; revision++) {
      const change =
        revision % 7 === 0
          ? serviceKey(`s${revision % 20}`)
          : service(`s${revision % 20}`, "10.96.0.1", `-${revision}`);
      store.append([messageGroup(revision, revision - 1, [change])]);
      if (revision % 20 === 0) {
        await contents(store);
        sizes.push(statSync(log()).size);
      }
    }
    const before = await contents(store);
    await store.close();
    assert.ok(Math.max(...sizes) < 12_000, `sizes ${sizes.join()}`);
    const again = open();
    assert.equal((await again.load())?.revision, 300);
    assert.equal(await contents(again), before);
    await again.close();
    assert.deepEqual(errors, []);
  });
});

suite("SIGKILL while writing", { timeout: 60_000 }, () => {
  test("every start finds a state that was complete at some revision, never older than the one before", async () => {
    const script = join(import.meta.dirname, "state-writer.ts");
    let last = 0;
    for (let round = 0; round < 5; round++) {
      const child: ChildProcess = spawn(process.execPath, [script, folder], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      let said = "";
      child.stdout?.on("data", (data) => {
        said += String(data);
      });
      while (!said.includes("ready")) await new Promise((resolve) => setTimeout(resolve, 5));
      await new Promise((resolve) => setTimeout(resolve, 20 + round * 31));
      child.kill("SIGKILL");
      await new Promise((resolve) => child.once("exit", resolve));
      const store = open();
      const kept = await store.load();
      assert.ok(kept !== undefined && kept.revision >= last, `revision ${kept?.revision} after ${last}`);
      last = kept.revision;
      // The writer's rule: object sN is at the newest revision that ends in N.
      const names = await contents(store);
      const expected = Array.from({ length: 10 }, (_, digit) => {
        const newest = last - ((last - digit + 10) % 10);
        return `s${digit}-${Math.max(newest, 0)}`;
      });
      assert.equal(names, expected.sort().join(" "));
      await store.close();
    }
    assert.ok(last > 20, `only ${last} revisions were written`);
    assert.deepEqual(errors, []);
  });
});
