/** The wire contract below kubectl: who may do what, negotiation, bounds, lists, watches, writes, deletions. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { KINDS } from "../../src/control-plane/kinds/index.ts";
import type { ApiObject } from "../../src/control-plane/registry/json.ts";
import { WIDGET } from "../unit/control-plane/widget.ts";
import {
  at,
  listAt,
  parse,
  parseEvents,
  type RequestOptions,
  type RunningApi,
  startApi,
} from "./support/api-server.ts";

const WIDGETS = "/apis/example.io/v1/namespaces/default/widgets";
const JSON_TYPE = { "content-type": "application/json" };
const widget = (name: string, more: object = {}): ApiObject => {
  return {
    apiVersion: "example.io/v1",
    kind: "Widget",
    metadata: { name, namespace: "default", ...more },
    spec: { colour: "red" },
  };
};

const json = async (
  api: RunningApi,
  path: string,
  options?: RequestOptions,
): Promise<{ code: number; value: Readonly<Record<string, unknown>> }> => {
  const { code, body } = await api.request(path, options);
  return { code, value: parse(body) as Readonly<Record<string, unknown>> };
};
const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const text = (value: unknown, path: string): string => textOf(at(value, path));
const post = async (api: RunningApi, path: string, value: unknown) =>
  await json(api, path, { method: "POST", headers: JSON_TYPE, body: JSON.stringify(value) });

suite("who may do what", () => {
  test("anonymous sees health and version, nothing else", async (t) => {
    const api = await startApi(t, KINDS);
    for (const path of ["/healthz", "/livez", "/readyz", "/readyz?verbose", "/version"]) {
      assert.equal((await api.request(path, { as: undefined })).code, 200, path);
    }
    for (const path of ["/api", "/apis", "/openapi/v3", "/metrics", "/api/v1", "/"]) {
      const { code, value } = await json(api, path, { as: undefined });
      assert.equal(code, 403, path);
      assert.equal(at(value, "message"), `forbidden: User "system:anonymous" cannot get path "${path}"`);
    }
    const { code, value } = await json(api, "/api/v1/namespaces/default/services", { as: undefined });
    assert.equal(code, 403);
    const text =
      'services is forbidden: User "system:anonymous" cannot list resource "services" in API group "" in the namespace "default"';
    assert.equal(at(value, "message"), text);
  });

  test("a node reads what it needs and writes its own", async (t) => {
    const api = await startApi(t, KINDS);
    const as = await api.nodeCredentials("node1");
    const rows: readonly [string, string, unknown, number][] = [
      ["GET", "/api/v1/services", undefined, 200],
      ["GET", "/apis/discovery.k8s.io/v1/endpointslices?watch=1&timeoutSeconds=1", undefined, 200],
      ["GET", "/api/v1/secrets", undefined, 403],
      ["GET", "/api/v1/namespaces/default/secrets/x", undefined, 403],
      ["GET", "/api/v1/configmaps", undefined, 403],
      ["GET", "/metrics", undefined, 403],
      ["POST", "/api/v1/nodes", { metadata: { name: "node2" } }, 403],
      ["POST", "/api/v1/nodes", { metadata: { name: "node1" } }, 201],
      ["PUT", "/api/v1/nodes/node2", { metadata: { name: "node2" } }, 403],
      ["DELETE", "/api/v1/nodes/node1", undefined, 403],
      [
        "POST",
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
        { metadata: { name: "node1" } },
        201,
      ],
      [
        "POST",
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases",
        { metadata: { name: "node2" } },
        403,
      ],
      [
        "POST",
        "/apis/coordination.k8s.io/v1/namespaces/default/leases",
        { metadata: { name: "node1" } },
        403,
      ],
      ["POST", "/api/v1/namespaces/default/services", { metadata: { name: "s" } }, 403],
      ["POST", "/api/v1/namespaces/default/pods", pod("p1", "node2"), 403],
      ["POST", "/api/v1/namespaces/default/pods", pod("p1", "node1"), 201],
      ["DELETE", "/api/v1/namespaces/default/pods", undefined, 403],
      ["DELETE", "/api/v1/namespaces/default/pods/p1?gracePeriodSeconds=0", undefined, 200],
    ];
    for (const [method, path, value, code] of rows) {
      const answer = await api.request(path, {
        method,
        as,
        headers: JSON_TYPE,
        ...(value === undefined ? {} : { body: JSON.stringify(value) }),
      });
      assert.equal(answer.code, code, `${method} ${path}: ${answer.body}`);
    }
    await api.client.create("pods", { apiVersion: "v1", kind: "Pod", ...pod("p2", "node2") } as ApiObject);
    const foreign = await api.request("/api/v1/namespaces/default/pods/p2", { method: "DELETE", as });
    assert.equal(foreign.code, 403, foreign.body);
  });

  test("a certificate of another authority is refused", async (t) => {
    const [api, other] = [await startApi(t, KINDS), await startApi(t, KINDS)];
    const { code, value } = await json(api, "/version", { as: other.admin });
    assert.deepEqual([code, at(value, "reason")], [401, "Unauthorized"]);
  });
});

function pod(name: string, nodeName: string): object {
  const metadata = { name, namespace: "default", annotations: { "kubernetes.io/config.mirror": "x" } };
  return { metadata, spec: { nodeName, containers: [{ name: "c", image: "i" }] } };
}

suite("negotiation and bounds", () => {
  test("formats, refusals and limits", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    const yaml = await api.request("/api/v1/namespaces/default", { headers: { accept: "application/yaml" } });
    assert.match(yaml.body, /^apiVersion: v1$/m);
    assert.equal(yaml.headers["content-type"], "application/yaml");
    const refused = await api.request("/api/v1/namespaces", { headers: { accept: "application/cbor" } });
    assert.equal(refused.code, 406);
    const partial = await json(api, "/api/v1/namespaces", {
      headers: { accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1" },
    });
    assert.deepEqual(
      [at(partial.value, "kind"), at(partial.value, "items.0.kind"), at(partial.value, "items.0.status")],
      ["PartialObjectMetadataList", "PartialObjectMetadata", undefined],
    );
    const plain = await api.request(WIDGETS, {
      method: "POST",
      headers: { "content-type": "text/plain" },
      body: "x",
    });
    assert.equal(plain.code, 415);
    const apply = await api.request(`${WIDGETS}/x`, {
      method: "PATCH",
      headers: { "content-type": "application/apply-patch+yaml" },
      body: "{}",
    });
    assert.equal(apply.code, 415);
    assert.match(text(parse(apply.body), "message"), /server-side apply is not supported/);
    const large = await api.request(WIDGETS, {
      method: "POST",
      headers: JSON_TYPE,
      body: `"${"x".repeat(3 * 1024 * 1024)}"`,
    });
    assert.equal(large.code, 413);
    const deep = await api.request(WIDGETS, { method: "POST", headers: JSON_TYPE, body: "[".repeat(10_000) });
    assert.equal(deep.code, 400);
    const manifest =
      "apiVersion: example.io/v1\nkind: Widget\nmetadata:\n  name: y\nspec:\n  colour: red\n  colour: green\n";
    const strict = await api.request(`${WIDGETS}?fieldValidation=Strict`, {
      method: "POST",
      headers: { "content-type": "application/yaml" },
      body: manifest,
    });
    assert.equal(strict.code, 400, strict.body);
  });

  test("unknown and duplicate fields: Strict refuses, Warn warns, Ignore is silent", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    const body = '{"metadata":{"name":"w"},"spec":{"colour":"red","colour":"green","size":1}}';
    const send = async (validation: string) =>
      await api.request(`${WIDGETS}?dryRun=All&fieldValidation=${validation}`, {
        method: "POST",
        headers: JSON_TYPE,
        body,
      });
    const strict = await send("Strict");
    const text =
      'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.size", duplicate field "spec.colour"';
    assert.deepEqual([strict.code, at(parse(strict.body), "message")], [400, text]);
    const warn = await send("Warn");
    assert.equal(warn.code, 201);
    assert.equal(
      warn.headers["warning"],
      '299 - "unknown field \\"spec.size\\"", 299 - "duplicate field \\"spec.colour\\""',
    );
    assert.equal((await send("Ignore")).headers["warning"], undefined);
    assert.equal((await send("Perhaps")).code, 400);
    assert.equal((await api.request(`${WIDGETS}/w`)).code, 404, "a dry run stores nothing");
  });

  test("paths and methods that are not served", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    const rows: readonly [string, string, number][] = [
      ["GET", "/apis/apps/v1/deployments", 404],
      ["GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", 404],
      ["GET", "/api/v1/namespaces/default/widgets", 404],
      ["GET", `${WIDGETS}/x/frob`, 404],
      ["POST", `${WIDGETS}/x`, 405],
      ["PUT", WIDGETS, 405],
      ["DELETE", "/version", 405],
      ["GET", "/apis/example.io/v1/widgets/%ff", 404],
      ["GET", "/readyz/nonsense", 404],
    ];
    for (const [method, path, code] of rows)
      assert.equal((await api.request(path, { method })).code, code, `${method} ${path}`);
  });

  test("discovery speaks the version that is asked for", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    const accept = (version: string): string =>
      `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList,application/json`;
    for (const version of ["v2", "v2beta1"]) {
      const { headers, body } = await api.request("/apis", { headers: { accept: accept(version) } });
      assert.equal(
        headers["content-type"],
        `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`,
      );
      assert.equal(at(parse(body), "apiVersion"), `apidiscovery.k8s.io/${version}`);
    }
    assert.equal(at((await json(api, "/apis")).value, "kind"), "APIGroupList");
    assert.deepEqual(at((await json(api, "/api")).value, "versions"), ["v1"]);
    assert.equal(
      at((await json(api, "/apis/example.io")).value, "preferredVersion.groupVersion"),
      "example.io/v1",
    );
    const { value } = await json(api, "/apis/example.io/v1");
    assert.deepEqual(
      listAt(value, "resources").map((resource) => `${text(resource, "name")}=${text(resource, "kind")}`),
      ["widgets=Widget", "widgets/status=Widget", "widgets/scale=Scale"],
    );
  });

  test("OpenAPI is cacheable by its hash", async (t) => {
    const api = await startApi(t, [...KINDS, WIDGET]);
    const { value: index } = await json(api, "/openapi/v3");
    const { headers, body } = await api.request(
      textOf(at(index, ["paths", "apis/example.io/v1", "serverRelativeURL"])),
    );
    assert.match(String(headers["cache-control"]), /immutable/);
    const document = parse(body);
    const schema = at(document, ["components", "schemas", "io.example.v1.WidgetSpec"]);
    assert.equal(at(schema, "properties.parts.x-kubernetes-patch-merge-key"), "name");
    assert.deepEqual(at(schema, "required"), ["colour"]);
    const path = "/apis/example.io/v1/namespaces/{namespace}/widgets/{name}";
    const parameters = listAt(at(document, ["paths", path]), "patch.parameters");
    assert.ok(parameters.some((parameter) => at(parameter, "name") === "fieldValidation"));
    const v2 = await api.request("/openapi/v2");
    assert.doesNotMatch(String(v2.headers["content-type"]), /@/);
    assert.ok(v2.body.startsWith("\n\u00032.0"));
  });
});

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
