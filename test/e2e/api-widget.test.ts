/** A sample kind, added by one registry entry, works everywhere: with every kubectl that is found. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { KINDS } from "../../src/control-plane/kinds/index.ts";
import { encodeMessage, sealEnvelope } from "../../src/control-plane/registry/protobuf.ts";
import { WIDGET } from "../unit/control-plane/widget.ts";
import { at, listAt, parse, parseEvents, startApi } from "./support/api-server.ts";
import { findKubectls } from "./support/kubectls.ts";

const WIDGETS = "/apis/example.io/v1/namespaces/default/widgets";

const MANIFEST = `
apiVersion: example.io/v1
kind: Widget
metadata: {name: one, labels: {app: a}}
spec: {colour: red, parts: [{name: bolt, count: 0}, {name: nut}]}
`;

const found = await findKubectls();
test("a kubectl is there", () =>
  assert.notEqual(found.length, 0, "no kubectl on PATH, in NODEPLANE_KUBECTLS or from Debian"));

for (const { path, version } of found) {
  suite(`widget with kubectl ${version}`, () => {
    test("discovery, explain, tables, patches, scale, status", async (t) => {
      const { kubectl, kubectlFails } = await startApi(t, [...KINDS, WIDGET], path);
      const resources = await kubectl(["api-resources", "--api-group=example.io", "--no-headers"]);
      assert.match(resources, /^widgets +wd +example\.io\/v1 +true +Widget/);
      assert.match(await kubectl(["explain", "widgets.spec.parts"]), /A part of a Widget|Its parts/);

      assert.match(await kubectl(["apply", "-f", "-"], MANIFEST), /widget\.example\.io\/one created/);
      const table = await kubectl(["get", "wd"]);
      assert.match(table, /^NAME +COLOUR +REPLICAS +AGE\none +red +0\/1 +\d+s\n$/);
      assert.match(await kubectl(["get", "wd", "one", "-o", "wide"]), /PARTS\none +red +0\/1 +\d+s +2\n$/);
      assert.match(await kubectl(["get", "all"]), /widget\.example\.io\/one/);
      assert.match(await kubectl(["get", "wd", "-l", "app=a", "--show-labels"]), /app=a/);
      assert.equal(await kubectl(["get", "wd", "--field-selector", "spec.colour=green", "-o", "name"]), "");

      const edited = MANIFEST.replace("{name: nut}", "{name: washer, count: 3}");
      assert.match(await kubectl(["apply", "-f", "-"], edited), /configured/);
      assert.match(await kubectl(["apply", "-f", "-"], edited), /unchanged/);
      assert.equal(
        await kubectl(["get", "wd", "one", "-o", "jsonpath={.spec.parts[*].name}"]),
        "bolt washer",
      );
      assert.equal(await kubectl(["get", "wd", "one", "-o", "jsonpath={.metadata.generation}"]), "2");

      assert.match(await kubectl(["scale", "wd", "one", "--replicas=3"]), /scaled/);
      assert.equal(await kubectl(["get", "wd", "one", "-o", "jsonpath={.spec.replicas}"]), "3");
      await kubectl(["label", "wd", "one", "b=c"]);
      assert.equal(await kubectl(["get", "wd", "one", "-o", "jsonpath={.metadata.generation}"]), "3");

      const wrong = MANIFEST.replace("colour: red", "color: red");
      assert.match(await kubectlFails(["create", "-f", "-"], wrong), /unknown field "?.*color/);
      assert.match(
        await kubectlFails(
          ["create", "-f", "-"],
          JSON.stringify({
            apiVersion: "example.io/v1",
            kind: "Widget",
            metadata: { name: "two" },
            spec: {},
          }),
        ),
        /spec\.colour: Required value|missing required field "colour"/,
      );
      assert.match(await kubectl(["delete", "wd", "one"]), /deleted/);
      assert.equal(await kubectl(["get", "wd", "-o", "name"]), "");
    });
  });
}

test("status is written by its subresource alone, and spec only beside it", async (t) => {
  const { request } = await startApi(t, [...KINDS, WIDGET]);
  const json = { "content-type": "application/json" };
  const merge = { "content-type": "application/merge-patch+json" };
  const body = JSON.stringify({
    metadata: { name: "one" },
    spec: { colour: "red" },
    status: { replicas: 7 },
  });
  const created = await request(WIDGETS, { method: "POST", headers: json, body });
  assert.equal(created.code, 201);
  assert.equal(at(parse(created.body), "status"), undefined);
  const patch = JSON.stringify({ spec: { colour: "green" }, status: { replicas: 2 } });
  const status = await request(`${WIDGETS}/one/status`, { method: "PATCH", headers: merge, body: patch });
  const shown = parse(status.body);
  assert.deepEqual(
    [at(shown, "spec.colour"), at(shown, "status.replicas"), at(shown, "metadata.generation")],
    ["red", 2, 1],
  );
  const main = parse(
    (
      await request(`${WIDGETS}/one`, {
        method: "PATCH",
        headers: merge,
        body: JSON.stringify({ spec: { colour: "green" }, status: { replicas: 9 } }),
      })
    ).body,
  );
  assert.deepEqual(
    [at(main, "spec.colour"), at(main, "status.replicas"), at(main, "metadata.generation")],
    ["green", 2, 2],
  );
  const scale = parse((await request(`${WIDGETS}/one/scale`)).body);
  assert.deepEqual(
    [at(scale, "kind"), at(scale, "spec.replicas"), at(scale, "status")],
    ["Scale", 1, { replicas: 2, selector: "widget=one" }],
  );
});

test("protobuf bodies are decoded", async (t) => {
  const { request } = await startApi(t, [...KINDS, WIDGET]);
  const raw = encodeMessage(WIDGET.schema, {
    metadata: { name: "proto" },
    spec: { colour: "green", replicas: 0, parts: [{ name: "bolt" }] },
  });
  const headers = {
    "content-type": "application/vnd.kubernetes.protobuf",
    accept: "application/vnd.kubernetes.protobuf,application/json",
  };
  const body = sealEnvelope({ apiVersion: "example.io/v1", kind: "Widget", raw });
  const created = await request(WIDGETS, { method: "POST", headers, body });
  assert.equal(created.code, 201, created.body);
  assert.equal(created.headers["content-type"], "application/json");
  assert.deepEqual(at(parse(created.body), "spec"), {
    colour: "green",
    replicas: 0,
    parts: [{ name: "bolt" }],
  });
  const wrong = await request(WIDGETS, { method: "POST", headers, body: body.subarray(0, body.length - 9) });
  assert.equal(wrong.code, 400, wrong.body);
});

test("a table watch sends the columns once", async (t) => {
  const { request, client } = await startApi(t, [...KINDS, WIDGET]);
  const widget = (name: string) => ({
    apiVersion: "example.io/v1",
    kind: "Widget",
    metadata: { name, namespace: "default" },
    spec: { colour: "red" },
  });
  await client.create("widgets.example.io", widget("one"));
  await client.create("widgets.example.io", widget("two"));
  const accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
  const { body } = await request(`${WIDGETS}?watch=1&timeoutSeconds=1`, { headers: { accept } });
  const rows = parseEvents(body).map((event) => [
    at(event, "type"),
    at(event, "object.kind"),
    listAt(event, "object.columnDefinitions").length,
    at(event, "object.rows.0.cells.0"),
  ]);
  assert.deepEqual(rows, [
    ["ADDED", "Table", 5, "one"],
    ["ADDED", "Table", 0, "two"],
  ]);
});
