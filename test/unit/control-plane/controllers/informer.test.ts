/** The cache of controllers: own writes count at once, late news of the watch do not undo them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Informer } from "../../../../src/control-plane/controllers/framework/informer.ts";
import { expired } from "../../../../src/control-plane/registry/api-error.ts";
import type { ObjectClient, WatchEvent } from "../../../../src/control-plane/registry/client.ts";
import type { ApiObject } from "../../../../src/control-plane/registry/json.ts";
import { FakeClock } from "./harness.ts";

const map = (name: string, revision: number, data: Record<string, string> = {}): ApiObject => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { namespace: "d", name, uid: `uid-${name}`, resourceVersion: String(revision) },
  data,
});

/** A server whose list and watch the test plays. */
class FakeServer {
  items: ApiObject[] = [];
  revision = 10;
  #pending: (WatchEvent | Error)[] = [];
  #wake: () => void = () => undefined;

  push(event: WatchEvent | Error): void {
    this.#pending.push(event);
    this.#wake();
  }

  async *#watch(signal: AbortSignal): AsyncIterable<WatchEvent> {
    signal.addEventListener("abort", () => this.#wake(), { once: true });
    while (!signal.aborted) {
      const next = this.#pending.shift();
      if (next instanceof Error) throw next;
      if (next !== undefined) yield next;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  client(): ObjectClient {
    const list = async (): Promise<{ items: ApiObject[]; resourceVersion: string }> =>
      await Promise.resolve({ items: this.items, resourceVersion: String(this.revision) });
    const watch = (_resource: string, _options: unknown, signal: AbortSignal): AsyncIterable<WatchEvent> =>
      this.#watch(signal);
    return { list, watch } as unknown as ObjectClient;
  }
}

const turn = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
};

async function withInformer(run: (server: FakeServer, informer: Informer) => Promise<void>): Promise<void> {
  const server = new FakeServer();
  server.items = [map("a", 5)];
  const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const informer = new Informer("configmaps", {
    client: server.client(),
    clock: new FakeClock(),
    log: silent,
  });
  const abort = new AbortController();
  const running = informer.run(abort.signal);
  await informer.untilSynced();
  await run(server, informer);
  abort.abort();
  await running;
}

const names = (informer: Informer): string[] =>
  [...informer.all()].map(({ metadata }) => metadata.name ?? "").toSorted();

test("an own write stands until the watch is newer", () =>
  withInformer(async (server, informer) => {
    informer.observe(map("a", 20, { v: "own" }));
    server.push({ type: "MODIFIED", object: map("a", 15, { v: "late" }) });
    await turn();
    assert.deepEqual(informer.get("d/a")?.["data"], { v: "own" });
    server.push({ type: "MODIFIED", object: map("a", 21, { v: "newer" }) });
    await turn();
    assert.deepEqual(informer.get("d/a")?.["data"], { v: "newer" });
  }));

test("an own deletion is not undone by what the watch says late; the name can be used again", () =>
  withInformer(async (server, informer) => {
    informer.observe(map("a", 20));
    informer.forget(map("a", 20));
    server.push({ type: "MODIFIED", object: map("a", 20) });
    await turn();
    assert.deepEqual(names(informer), []);
    server.push({ type: "DELETED", object: map("a", 22) });
    server.push({ type: "ADDED", object: map("a", 23) });
    await turn();
    assert.deepEqual(names(informer), ["a"]);
  }));

test("a deletion that is older than what is known does not remove it", () =>
  withInformer(async (server, informer) => {
    informer.observe(map("a", 30));
    server.push({ type: "DELETED", object: map("a", 25) });
    await turn();
    assert.deepEqual(names(informer), ["a"]);
  }));

test("when the watch is too old it lists again: what vanished meanwhile goes, own newer writes stay", () =>
  withInformer(async (server, informer) => {
    const changes: string[] = [];
    informer.onChange((now, old) =>
      changes.push(`${old?.metadata.name ?? "-"}>${now?.metadata.name ?? "-"}`),
    );
    informer.observe(map("own", 50));
    server.items = [map("b", 40)];
    server.revision = 45;
    server.push(expired("too old"));
    await turn();
    assert.deepEqual(names(informer), ["b", "own"]);
    assert.deepEqual(changes, ["->a", "->own", "a>-", "->b"]);
  }));

test("indices follow changes, also when they are added late", () =>
  withInformer(async (server, informer) => {
    informer.addIndex("colour", (object) => Object.values((object["data"] ?? {}) as Record<string, string>));
    server.push({ type: "MODIFIED", object: map("a", 20, { c: "red" }) });
    server.push({ type: "ADDED", object: map("b", 21, { c: "red", d: "blue" }) });
    await turn();
    assert.equal(informer.countByIndex("colour", "red"), 2);
    server.push({ type: "MODIFIED", object: map("a", 22, { c: "green" }) });
    server.push({ type: "DELETED", object: map("b", 23, { c: "red", d: "blue" }) });
    await turn();
    assert.deepEqual(
      ["red", "blue", "green"].map((value) => informer.byIndex("colour", value).length),
      [0, 0, 1],
    );
  }));
