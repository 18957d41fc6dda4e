/** Accept headers as real clients send them, and request paths. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { negotiate } from "../../../src/control-plane/api/negotiate.ts";
import { parsePath } from "../../../src/control-plane/api/request.ts";
import { KINDS } from "../../../src/control-plane/kinds/index.ts";
import { Registry } from "../../../src/control-plane/registry/registry.ts";

const ACCEPTS: readonly [string | undefined, string | undefined][] = [
  [undefined, "json object "],
  ["*/*", "json object "],
  ["application/json, */*", "json object "],
  ["application/vnd.kubernetes.protobuf,application/json", "json object "],
  ["application/vnd.kubernetes.protobuf, */*", "json object "],
  [
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
    "json table meta.k8s.io/v1",
  ],
  ["application/json;as=Table;v=v9;g=meta.k8s.io,application/json", "json object "],
  ["application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "json metadata meta.k8s.io/v1"],
  ["application/yaml", "yaml object "],
  ["application/json;q=0.5,application/yaml", "yaml object "],
  ["application/json;stream=watch", "json object "],
  ["application/cbor, application/json", "json object "],
  ["application/cbor", undefined],
  ["application/json;as=Frob;v=v1;g=meta.k8s.io", undefined],
  ["application/json;as=constructor;v=v1;g=meta.k8s.io", undefined],
];

for (const [header, expected] of ACCEPTS) {
  test(`accept: ${header ?? "nothing"}`, () => {
    const offer = negotiate(header);
    assert.equal(offer && `${offer.format} ${offer.as} ${offer.metaVersion}`, expected);
  });
}

const PATHS: readonly [string, string, string][] = [
  ["GET", "/api/v1/pods", "list pods  "],
  ["GET", "/api/v1/namespaces", "list namespaces  "],
  ["GET", "/api/v1/namespaces/default", "get namespaces  default"],
  ["PUT", "/api/v1/namespaces/default/finalize", "update namespaces  default finalize"],
  ["PATCH", "/api/v1/namespaces/default/status", "patch namespaces  default status"],
  ["GET", "/api/v1/namespaces/default/pods", "list pods default "],
  ["GET", "/api/v1/namespaces/default/pods/p/status", "get pods default p status"],
  ["POST", "/api/v1/namespaces/default/pods", "create pods default "],
  ["DELETE", "/api/v1/namespaces/default/pods", "deletecollection pods default "],
  ["DELETE", "/api/v1/nodes/n", "delete nodes  n"],
  ["GET", "/apis/discovery.k8s.io/v1/endpointslices", "list endpointslices  "],
  ["GET", "/apis/discovery.k8s.io/v1", "other"],
  ["GET", "/apis/discovery.k8s.io/v2/endpointslices", "unknown"],
  ["GET", "/api/v1/pods/p", "unknown"],
  ["GET", "/api/v1/namespaces/default/nodes/n", "unknown"],
  ["GET", "/api/v1/namespaces/default/pods/p/frob", "unknown"],
  ["GET", "/api/v1/namespaces/default/pods/p/status/x", "unknown"],
  ["GET", "/api/v1/namespaces/default/pods/p/constructor", "unknown"],
  ["GET", "/api/v1/namespaces/default/pods/p/log", "unserved"],
  ["POST", "/api/v1/namespaces/default/pods/p/exec", "unserved"],
  ["POST", "/api/v1/nodes/n", "method"],
  ["TRACE", "/api/v1/nodes", "method"],
  ["GET", "/readyz/store", "other"],
];

const registry = new Registry(KINDS);
for (const [method, path, expected] of PATHS) {
  test(`path: ${method} ${path}`, () => {
    const parsed = parsePath(registry, method, path, new URLSearchParams());
    if (parsed.type !== "resource") return assert.equal(parsed.type, expected);
    const { kind, verb, namespace, name, subresource } = parsed.request;
    assert.equal(`${verb} ${kind.plural} ${namespace} ${name} ${subresource}`.trimEnd(), expected.trimEnd());
  });
}

test("path: watch is asked for in the query", () => {
  for (const [query, verb] of [
    ["watch=1", "watch"],
    ["watch=true", "watch"],
    ["watch", "watch"],
    ["watch=false", "list"],
  ] as const) {
    const parsed = parsePath(registry, "GET", "/api/v1/pods", new URLSearchParams(query));
    assert.equal(parsed.type === "resource" && parsed.request.verb, verb);
  }
});
