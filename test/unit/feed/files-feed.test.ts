/** Object files: what is read, what is delivered when they change, and what a broken file does. */
import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import type { FeedBatch, FeedListener } from "../../../src/feed/feed.ts";
import { FilesFeed } from "../../../src/feed/files/files-feed.ts";
import { type FileProblem, formatFileProblem } from "../../../src/feed/files/object-folder.ts";
import { formatKey, keyOf } from "../../../src/model/objects.ts";

let folder = "";
let abort = new AbortController();
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "np-files-"));
  abort = new AbortController();
});
afterEach(() => {
  abort.abort();
  rmSync(folder, { recursive: true });
});

/** Records batches as lines and lets a test wait for the next one. */
class Recorder implements FeedListener {
  readonly batches: string[][] = [];
  problems: readonly FileProblem[] = [];
  #current: string[] = [];
  #wake: (() => void) | undefined;

  begin(batch: FeedBatch): void {
    this.#current = [`${batch.snapshot ? "snapshot" : "changes"} ${batch.revision}`];
  }
  upsert(object: Parameters<FeedListener["upsert"]>[0]): void {
    this.#current.push(`+${formatKey(keyOf(object))}`);
  }
  remove(key: Parameters<FeedListener["remove"]>[0]): void {
    this.#current.push(`-${formatKey(key)}`);
  }
  commit(): void {
    this.batches.push(this.#current);
    this.#wake?.();
  }
  onProblems(problems: readonly FileProblem[]): void {
    this.problems = problems;
    this.#wake?.();
  }
  async until(done: () => boolean): Promise<void> {
    while (!done())
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
  }
}

function start(path: string): { recorder: Recorder; feed: FilesFeed; ended: Promise<void> } {
  const recorder = new Recorder();
  const feed = new FilesFeed({ path, settleMs: 20, onProblems: (list) => recorder.onProblems(list) });
  return { recorder, feed, ended: feed.run(recorder, abort.signal) };
}

const namespace = (name: string, label = "x") =>
  `apiVersion: v1\nkind: Namespace\nmetadata:\n  name: ${name}\n  labels:\n    a: ${label}\n`;

suite("files feed", () => {
  test("the DNS fixture loads without problems", async () => {
    const { recorder, feed, ended } = start(join(import.meta.dirname, "../../cases/dns-fixture.yaml"));
    await recorder.until(() => recorder.batches.length === 1);
    assert.deepEqual(recorder.problems.map(formatFileProblem), []);
    assert.ok((recorder.batches[0]?.length ?? 0) > 60);
    assert.equal(feed.synced, true);
    assert.equal(feed.ageSeconds(), 0);
    abort.abort();
    await ended;
  });

  test("only differences are delivered, files come and go", { timeout: 20_000 }, async () => {
    writeFileSync(join(folder, "a.yaml"), `${namespace("one")}---\n${namespace("two")}`);
    writeFileSync(join(folder, "ignored.txt"), "not ours");
    const { recorder, ended } = start(folder);
    await recorder.until(() => recorder.batches.length === 1);
    assert.deepEqual(recorder.batches[0], ["snapshot 1", "+Namespace//one", "+Namespace//two"]);

    writeFileSync(join(folder, "a.tmp"), `${namespace("one")}---\n${namespace("two", "y")}`);
    renameSync(join(folder, "a.tmp"), join(folder, "a.yaml"));
    await recorder.until(() => recorder.batches.length === 2);
    assert.deepEqual(recorder.batches[1], ["changes 2", "+Namespace//two"]);

    writeFileSync(
      join(folder, "b.json"),
      JSON.stringify({ apiVersion: "v1", kind: "NamespaceList", items: [{ metadata: { name: "three" } }] }),
    );
    await recorder.until(() => recorder.batches.length === 3);
    assert.deepEqual(recorder.batches[2], ["changes 3", "+Namespace//three"]);

    rmSync(join(folder, "a.yaml"));
    await recorder.until(() => recorder.batches.length === 4);
    assert.deepEqual(recorder.batches[3], ["changes 4", "-Namespace//one", "-Namespace//two"]);
    abort.abort();
    await ended;
  });

  test("a broken file keeps its old objects, names the line, and the rest goes on", {
    timeout: 20_000,
  }, async () => {
    writeFileSync(join(folder, "a.yaml"), namespace("one"));
    writeFileSync(join(folder, "b.yaml"), namespace("two"));
    const { recorder, ended } = start(folder);
    await recorder.until(() => recorder.batches.length === 1);

    writeFileSync(join(folder, "a.yaml"), "kind: Namespace\nmetadata: {name: [\n");
    await recorder.until(() => recorder.problems.length === 1);
    assert.match(formatFileProblem(recorder.problems[0] as FileProblem), /a\.yaml:\d+: must be YAML: /);
    writeFileSync(join(folder, "b.yaml"), namespace("zwei"));
    await recorder.until(() => recorder.batches.length === 2);
    assert.deepEqual(recorder.batches[1], ["changes 2", "+Namespace//zwei", "-Namespace//two"]);

    writeFileSync(join(folder, "a.yaml"), namespace("one", "mended"));
    await recorder.until(() => recorder.batches.length === 3 && recorder.problems.length === 0);
    assert.deepEqual(recorder.batches[2], ["changes 3", "+Namespace//one"]);
    abort.abort();
    await ended;
  });

  test("a slice that no longer names a Service is gone, one that cannot be read stays", {
    timeout: 20_000,
  }, async () => {
    const slice = (labels: Readonly<Record<string, string>>, addressType = "IPv4") =>
      JSON.stringify({
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { name: "s", labels },
        addressType,
      });
    const file = join(folder, "a.json");
    writeFileSync(file, slice({ "kubernetes.io/service-name": "web" }));
    const { recorder, ended } = start(folder);
    await recorder.until(() => recorder.batches.length === 1);
    writeFileSync(file, slice({ "kubernetes.io/service-name": "web" }, "IPv5"));
    await recorder.until(() => recorder.problems.length === 1);
    assert.equal(recorder.batches.length, 1);
    writeFileSync(file, slice({}));
    await recorder.until(() => recorder.batches.length === 2);
    assert.deepEqual(recorder.batches[1], ["changes 2", "-EndpointSlice/default/s"]);
    abort.abort();
    await ended;
  });

  test("a wrong field is named with file, line and path; a second object of one key is refused", {
    timeout: 20_000,
  }, async () => {
    const bad =
      "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\nspec:\n  ports:\n    - port: 80\n    - port: 99999\n      name: b\n";
    writeFileSync(join(folder, "a.yaml"), bad);
    writeFileSync(
      join(folder, "b.jsonl"),
      `${JSON.stringify({ apiVersion: "v1", kind: "Service", metadata: { name: "s" } })}\n{"kind":"Job"}\n`,
    );
    const { recorder, ended } = start(folder);
    await recorder.until(() => recorder.batches.length === 1);
    assert.deepEqual(
      recorder.problems.map((problem) => formatFileProblem(problem).replaceAll(`${folder}/`, "")),
      [
        "a.yaml:8: Service/default/s: spec.ports[1].port: must be an integer from 1 to 65535, not 99999",
        'b.jsonl:2: kind: must be one of Service, EndpointSlice, Endpoints, Namespace, Node, ServiceCIDR, Pod, not "Job"',
        "b.jsonl:1: Service/default/s: metadata.name: is there already, in a.yaml:1; this one is not used",
      ],
    );
    abort.abort();
    await ended;
  });

  test("a path that is missing at start is an error; one that vanishes later is waited for", {
    timeout: 20_000,
  }, async () => {
    await assert.rejects(start(join(folder, "none.yaml")).ended, { code: "FILE_UNREADABLE" });
    const file = join(folder, "a.yaml");
    writeFileSync(file, namespace("one"));
    const { recorder, feed, ended } = start(file);
    await recorder.until(() => recorder.batches.length === 1);
    renameSync(file, join(folder, "away"));
    while (feed.ageSeconds() === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    renameSync(join(folder, "away"), file);
    while (feed.ageSeconds() > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(recorder.batches.length, 1);
    abort.abort();
    await ended;
  });

  test("sizes are bounded: a huge file, an alias bomb, a file that is no text", {
    timeout: 20_000,
  }, async () => {
    writeFileSync(join(folder, "a.yaml"), "");
    truncateSync(join(folder, "a.yaml"), 64 * 1024 * 1024 + 1);
    const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"];
    for (let level = 1; level < 12; level++)
      lines.push(`a${level}: &a${level} [${Array.from({ length: 9 }, () => `*a${level - 1}`).join(", ")}]`);
    writeFileSync(join(folder, "b.yaml"), lines.join("\n"));
    writeFileSync(join(folder, "c.yaml"), Buffer.from([0, 1, 2, 255, 254]));
    writeFileSync(join(folder, "d.yaml"), namespace("good"));
    const { recorder, ended } = start(folder);
    await recorder.until(() => recorder.batches.length === 1);
    assert.deepEqual(recorder.batches[0], ["snapshot 1", "+Namespace//good"]);
    const told = recorder.problems.map((problem) => formatFileProblem(problem).replaceAll(`${folder}/`, ""));
    assert.equal(told.length, 3);
    assert.match(told[0] ?? "", /^a\.yaml: must have at most \d+ bytes/);
    assert.match(told[1] ?? "", /^b\.yaml:1: .*alias/i);
    assert.match(told[2] ?? "", /^c\.yaml:1: must be a mapping|^c\.yaml:1: must be YAML/);
    abort.abort();
    await ended;
  });
});
