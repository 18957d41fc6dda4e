/** The wire contract of objects: lists, watches, writes, deletions. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { KINDS } from "../../src/control-plane/kinds/index.ts";
import { WIDGET } from "../unit/control-plane/widget.ts";
import { JSON_TYPE, json, post, text, WIDGETS, widget } from "./support/api-calls.ts";
import { at, listAt, parse, parseEvents, startApi } from "./support/api-server.ts";

suite("lists and watches", () => {
  test("pages show one revision", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    for (const name of ["a", "b", "c", "d", "e"]) await api.client.create("widgets.example.io", widget(name));
    const { value: first } = await json(api, `${WIDGETS}?limit=2`);
    assert.equal(at(first, "metadata.remainingItemCount"), 3);
    await api.client.delete("widgets.example.io", "default", "d");
    await api.client.create("widgets.example.io", widget("cc"));
    const items = [...listAt(first, "items")];
    for (let next = text(first, "metadata.continue"); next !== ""; ) {
      const { value: page } = await json(api, `${WIDGETS}?limit=2&continue=${next}`);
      assert.equal(at(page, "metadata.resourceVersion"), at(first, "metadata.resourceVersion"));
      items.push(...listAt(page, "items"));
      next = text(page, "metadata.continue");
    }
    assert.deepEqual(
      items.map((item) => at(item, "metadata.name")),
      ["a", "b", "c", "d", "e"],
    );
    await api.store.compact(api.store.revision());
    const late = await json(api, `${WIDGETS}?limit=2&continue=${text(first, "metadata.continue")}`);
    assert.deepEqual([late.code, at(late.value, "reason")], [410, "Expired"]);
    assert.equal((await json(api, `${WIDGETS}?continue=nonsense`)).code, 400);
  });

  test("a revision from the future is a 504 that clients understand", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    const { code, value } = await json(
      api,
      `${WIDGETS}?resourceVersion=999999&resourceVersionMatch=NotOlderThan`,
    );
    assert.deepEqual(
      [code, at(value, "reason"), at(value, "details.causes.0.reason")],
      [504, "Timeout", "ResourceVersionTooLarge"],
    );
  });

  test("watch: state first, changes after, selectors turn changes into ADDED and DELETED", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    await api.client.create("widgets.example.io", widget("a", { labels: { x: "1" } }));
    const watching = api.request(
      `${WIDGETS}?watch=true&timeoutSeconds=1&labelSelector=x%3D1&allowWatchBookmarks=true`,
    );
    await new Promise((resolve) => setTimeout(resolve, 300));
    await api.client.create("widgets.example.io", widget("b"));
    await api.client.mergePatch("widgets.example.io", "default", "b", { metadata: { labels: { x: "1" } } });
    await api.client.mergePatch("widgets.example.io", "default", "a", { metadata: { labels: { x: "2" } } });
    await api.client.mergePatch("widgets.example.io", "default", "b", { spec: { colour: "green" } });
    await api.client.delete("widgets.example.io", "default", "b");
    const events = parseEvents((await watching).body);
    assert.deepEqual(
      events.map((event) => `${text(event, "type")} ${text(event, "object.metadata.name")}`.trim()),
      ["ADDED a", "ADDED b", "DELETED a", "MODIFIED b", "DELETED b", "BOOKMARK"],
    );
    const revisions = events.map((event) => Number(at(event, "object.metadata.resourceVersion")));
    assert.deepEqual(
      revisions,
      revisions.toSorted((one, two) => one - two),
    );
  });

  test("sendInitialEvents ends the state with a marked bookmark", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    await api.client.create("widgets.example.io", widget("a"));
    const query =
      "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1";
    const events = parseEvents((await api.request(`${WIDGETS}?${query}`)).body);
    assert.deepEqual(
      events.slice(0, 2).map((event) => at(event, "type")),
      ["ADDED", "BOOKMARK"],
    );
    assert.deepEqual(at(events[1], "object.metadata.annotations"), { "k8s.io/initial-events-end": "true" });
    assert.equal((await json(api, `${WIDGETS}?watch=1&sendInitialEvents=true`)).code, 422);
  });

  test("a compacted revision ends a watch with 410", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    await api.client.create("widgets.example.io", widget("a"));
    for (let index = 0; index < 30; index += 1) {
      await api.store.transact({
        compare: [],
        operations: [{ type: "put", key: "/x", value: `${index}${"x".repeat(200_000)}` }],
      });
    }
    await api.store.compact(api.store.revision());
    const { body } = await api.request(`${WIDGETS}?watch=1&resourceVersion=5`);
    const event = parse(body);
    assert.deepEqual(
      ["type", "object.code", "object.reason"].map((path) => at(event, path)),
      ["ERROR", 410, "Expired"],
    );
  });
});

suite("writes", () => {
  test("optimistic locking, no-op updates, uid", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    const { value: first } = await post(api, WIDGETS, widget("a"));
    const put = async (value: unknown) =>
      await json(api, `${WIDGETS}/a`, { method: "PUT", headers: JSON_TYPE, body: JSON.stringify(value) });
    const same = await put(first);
    assert.equal(at(same.value, "metadata.resourceVersion"), at(first, "metadata.resourceVersion"));
    const changed = await put({ ...first, spec: { colour: "green" } });
    assert.equal(changed.code, 200);
    const stale = await put({ ...first, spec: { colour: "blue" } });
    assert.equal(stale.code, 409);
    assert.equal(
      at(stale.value, "message"),
      'Operation cannot be fulfilled on widgets.example.io "a": the object has been modified; please apply your changes to the latest version and try again',
    );
    const blind = await put(widget("a"));
    assert.equal(blind.code, 200, "without a resourceVersion it overwrites");
    const other = await put({ ...widget("a"), metadata: { name: "a", uid: "other" } });
    assert.equal(other.code, 409);
    assert.equal((await put(widget("b"))).code, 400);
    const again = await post(api, WIDGETS, widget("a"));
    assert.deepEqual(
      [again.code, at(again.value, "reason"), at(again.value, "message")],
      [409, "AlreadyExists", 'widgets.example.io "a" already exists'],
    );
  });

  test("racing patches all come through", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    await post(api, WIDGETS, widget("a"));
    const headers = { "content-type": "application/merge-patch+json" };
    const patches = Array.from(
      { length: 10 },
      async (_, index) =>
        await api.request(`${WIDGETS}/a`, {
          method: "PATCH",
          headers,
          body: JSON.stringify({ metadata: { labels: { [`l${index}`]: "x" } } }),
        }),
    );
    for (const { code, body } of await Promise.all(patches)) assert.equal(code, 200, body);
    const { value } = await json(api, `${WIDGETS}/a`);
    assert.equal(Object.keys(at(value, "metadata.labels") ?? {}).length, 10);
  });

  test("generated names", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    const { code, value } = await post(api, WIDGETS, {
      metadata: { generateName: "w-" },
      spec: { colour: "red" },
    });
    assert.equal(code, 201);
    assert.match(text(value, "metadata.name"), /^w-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  });

  test("names, labels and owners are checked with upstream's words", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    const metadata = {
      name: "Bad_Name",
      labels: { "-x": "y z" },
      finalizers: ["orphan", "hold"],
      ownerReferences: [{ apiVersion: "v1", kind: "", name: "x", uid: "u" }],
    };
    const { code, value } = await post(api, WIDGETS, { metadata, spec: {} });
    assert.deepEqual([code, at(value, "reason")], [422, "Invalid"]);
    assert.deepEqual(
      listAt(value, "details.causes").map((cause) => `${text(cause, "reason")} ${text(cause, "field")}`),
      [
        "FieldValueInvalid metadata.name",
        "FieldValueInvalid metadata.labels",
        "FieldValueInvalid metadata.labels",
        "FieldValueInvalid metadata.ownerReferences[0].kind",
        "FieldValueInvalid metadata.finalizers[1]",
        "FieldValueRequired spec.colour",
      ],
    );
  });

  test("a namespace must exist and stay", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    const path = "/apis/example.io/v1/namespaces/n/widgets";
    const absent = await post(api, path, { metadata: { name: "a" }, spec: { colour: "red" } });
    assert.deepEqual([absent.code, at(absent.value, "message")], [404, 'namespaces "n" not found']);
    await post(api, "/api/v1/namespaces", { metadata: { name: "n" } });
    await api.request("/api/v1/namespaces/n", { method: "DELETE" });
    const late = await post(api, path, { metadata: { name: "a" }, spec: { colour: "red" } });
    assert.equal(late.code, 403);
    assert.equal(at(late.value, "details.causes.0.reason"), "NamespaceTerminating");
    const { value: namespace } = await json(api, "/api/v1/namespaces/n");
    assert.equal(at(namespace, "status.phase"), "Terminating");
    const finalized = { ...namespace, spec: { finalizers: [] } };
    const done = await json(api, "/api/v1/namespaces/n/finalize", {
      method: "PUT",
      headers: JSON_TYPE,
      body: JSON.stringify(finalized),
    });
    assert.equal(done.code, 200);
    assert.equal((await api.request("/api/v1/namespaces/n")).code, 404);
  });
});

suite("deletions", () => {
  test("finalizers keep an object until the last is gone", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    await api.client.create("widgets.example.io", widget("a", { finalizers: ["x.io/a"] }));
    const pending = await json(api, `${WIDGETS}/a`, { method: "DELETE" });
    assert.equal(pending.code, 200);
    assert.ok(at(pending.value, "metadata.deletionTimestamp"));
    const headers = { "content-type": "application/merge-patch+json" };
    const added = await json(api, `${WIDGETS}/a`, {
      method: "PATCH",
      headers,
      body: '{"metadata":{"finalizers":["x.io/a","x.io/b"]}}',
    });
    assert.equal(added.code, 422);
    await json(api, `${WIDGETS}/a`, { method: "PATCH", headers, body: '{"metadata":{"finalizers":null}}' });
    assert.equal((await api.request(`${WIDGETS}/a`)).code, 404);
  });

  test("preconditions, propagation, dry run and Status", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    const { value } = await post(api, WIDGETS, widget("a"));
    const remove = async (options: object) =>
      await json(api, `${WIDGETS}/a`, {
        method: "DELETE",
        headers: JSON_TYPE,
        body: JSON.stringify(options),
      });
    assert.equal((await remove({ preconditions: { uid: "other" } })).code, 409);
    assert.equal((await remove({ preconditions: { resourceVersion: "1" } })).code, 409);
    assert.equal((await remove({ propagationPolicy: "Sometimes" })).code, 400);
    const grace = await json(api, `${WIDGETS}/a?gracePeriodSeconds=soon`, { method: "DELETE" });
    assert.equal(grace.code, 400);
    assert.equal((await remove({ dryRun: ["All"] })).code, 200);
    const orphan = await remove({
      propagationPolicy: "Foreground",
      preconditions: { uid: at(value, "metadata.uid") },
    });
    assert.deepEqual(at(orphan.value, "metadata.finalizers"), ["foregroundDeletion"]);
    const gone = await remove({ propagationPolicy: "Background" });
    assert.deepEqual(
      [at(gone.value, "kind"), at(gone.value, "status"), at(gone.value, "details")],
      [
        "Status",
        "Success",
        { name: "a", group: "example.io", kind: "widgets", uid: at(value, "metadata.uid") },
      ],
    );
    assert.deepEqual(
      [(await remove({})).code, at((await remove({})).value, "message")],
      [404, 'widgets.example.io "a" not found'],
    );
  });

  test("a collection is deleted by selector", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    for (const name of ["a", "b", "c"])
      await api.client.create(
        "widgets.example.io",
        widget(name, { labels: { x: name === "c" ? "2" : "1" } }),
      );
    const { value } = await json(api, `${WIDGETS}?labelSelector=x%3D1`, { method: "DELETE" });
    assert.equal(at(value, "items.length"), 2);
    assert.deepEqual(
      listAt((await json(api, WIDGETS)).value, "items").map((item) => at(item, "metadata.name")),
      ["c"],
    );
  });
});
