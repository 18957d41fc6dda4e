/** Who may do what, negotiation, bounds, discovery and OpenAPI on the wire. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { KINDS } from "../../src/control-plane/kinds/index.ts";
import type { ApiObject } from "../../src/control-plane/registry/json.ts";
import { WIDGET } from "../unit/control-plane/widget.ts";
import { JSON_TYPE, json, text, textOf, WIDGETS } from "./support/api-calls.ts";
import { at, listAt, parse, startApi } from "./support/api-server.ts";

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
