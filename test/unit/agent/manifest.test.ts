/** Pod manifests: what is taken from them, and what is refused with which words. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { parse } from "yaml";
import { systemClock } from "../../../src/agent/clock.ts";
import { parseManifest } from "../../../src/agent/workloads/manifest.ts";
import { ManifestDirectory } from "../../../src/agent/workloads/manifest-directory.ts";

const HEAD =
  "apiVersion: v1\nkind: Pod\nmetadata: {name: web, annotations: {nodeplane.dev/pod-ip: 10.244.0.2}}\n";

function manifest(yaml: string) {
  return parseManifest(parse(yaml));
}

test("a full manifest is read", () => {
  const found = manifest(`apiVersion: v1
kind: Pod
metadata:
  name: web
  namespace: shop
  labels: {app: web, "app.kubernetes.io/part-of": shop}
  annotations:
    nodeplane.dev/pod-ip: "10.244.0.2, FD00:0::2"
    nodeplane.dev/netns: /run/netns/web
    nodeplane.dev/unit: web@1.service
spec:
  volumes: [{name: a, emptyDir: {}}]
  containers:
  - name: main
    image: nginx
    resources: {limits: {cpu: 1}}
    ports: [{name: http, containerPort: 8080}, {containerPort: 53, protocol: UDP}]
    startupProbe: {tcpSocket: {port: http}, failureThreshold: 30}
    readinessProbe:
      httpGet: {port: http, path: healthz, scheme: HTTPS, host: example, httpHeaders: [{name: X-A, value: b}]}
      successThreshold: 2
    livenessProbe: {exec: {command: [test, -e, /x]}, initialDelaySeconds: 5, periodSeconds: 3, timeoutSeconds: 2}
  - name: side
    livenessProbe: {grpc: {port: 9000, service: a.b}}
`);
  assert.equal(found.namespace, "shop");
  assert.deepEqual(found.addresses, ["10.244.0.2", "fd00::2"]);
  assert.equal(found.netns, "/run/netns/web");
  assert.equal(found.unit, "web@1.service");
  const [main, side] = found.containers;
  assert.deepEqual(main?.probes.readiness, {
    action: {
      kind: "httpGet",
      host: "example",
      port: 8080,
      path: "/healthz",
      isHttps: true,
      headers: [{ name: "X-A", value: "b" }],
    },
    initialDelaySeconds: 0,
    periodSeconds: 10,
    timeoutSeconds: 1,
    successThreshold: 2,
    failureThreshold: 3,
  });
  assert.deepEqual(main?.probes.startup?.action, { kind: "tcpSocket", host: "", port: 8080 });
  assert.equal(main?.probes.liveness?.initialDelaySeconds, 5);
  assert.deepEqual(side?.probes.liveness?.action, { kind: "grpc", port: 9000, service: "a.b" });
});

test("hostNetwork needs no address", () => {
  const found = manifest(
    "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {hostNetwork: true, containers: [{name: c}]}",
  );
  assert.deepEqual(found.addresses, []);
  assert.equal(found.namespace, "default");
});

const container = (text: string) => `${HEAD}spec: {containers: [{name: c, ${text}}]}`;
const refused: readonly { name: string; yaml: string; want: RegExp }[] = [
  {
    name: "another kind",
    yaml: "apiVersion: v1\nkind: Service\n",
    want: /^apiVersion and kind: "Service" is not allowed; allowed: v1 Pod$/,
  },
  { name: "a list", yaml: "- 1", want: /^document: .* a map of apiVersion/ },
  {
    name: "an unknown field",
    yaml: `${HEAD}spec: {container: []}`,
    want: /^spec\.container: unknown field; allowed: .*containers/,
  },
  {
    name: "an unknown container field",
    yaml: container("readyProbe: {}"),
    want: /^spec\.containers\[0\]\.readyProbe: unknown field/,
  },
  {
    name: "a capital in the name",
    yaml: HEAD.replace("web", "Web"),
    want: /^metadata\.name: "Web" is not allowed; allowed: a DNS name/,
  },
  {
    name: "a number as label",
    yaml: "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {v: 1}}",
    want: /^metadata\.labels\[v\]: 1 is not allowed/,
  },
  {
    name: "no address",
    yaml: "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c}]}",
    want: /pod-ip\]: nothing is not allowed; allowed: the pod's address, unless spec\.hostNetwork is true$/,
  },
  {
    name: "an address that is none",
    yaml: HEAD.replace("10.244.0.2", "10.244.0.256"),
    want: /pod-ip.*"10\.244\.0\.256" is not allowed; allowed: one IP address/,
  },
  {
    name: "two addresses of a family",
    yaml: HEAD.replace("10.244.0.2", '"10.0.0.1,10.0.0.2"'),
    want: /allowed: one IP address, or an IPv4 and an IPv6/,
  },
  {
    name: "hostNetwork with an address",
    yaml: `${HEAD}spec: {hostNetwork: true, containers: [{name: c}]}`,
    want: /nothing beside spec\.hostNetwork/,
  },
  { name: "no container", yaml: `${HEAD}spec: {}`, want: /^spec\.containers: .*1 to 20 containers/ },
  {
    name: "two containers of a name",
    yaml: `${HEAD}spec: {containers: [{name: c}, {name: c}]}`,
    want: /containers\[1\]\.name: "c"/,
  },
  {
    name: "a port out of range",
    yaml: container("ports: [{containerPort: 70000}]"),
    want: /ports\[0\]\.containerPort: 70000 is not allowed; allowed: a whole number from 1 to 65535$/,
  },
  {
    name: "an unknown port name",
    yaml: container("ports: [{name: web, containerPort: 1}], readinessProbe: {tcpSocket: {port: http}}"),
    want: /tcpSocket\.port: "http" is not allowed; allowed: 1 to 65535, web$/,
  },
  {
    name: "two actions",
    yaml: container("readinessProbe: {tcpSocket: {port: 1}, exec: {command: [a]}}"),
    want: /readinessProbe: \["tcpSocket","exec"\] .*exactly one of/,
  },
  {
    name: "no action",
    yaml: container("readinessProbe: {periodSeconds: 1}"),
    want: /exactly one of httpGet, tcpSocket, exec, grpc$/,
  },
  {
    name: "a liveness success threshold",
    yaml: container("livenessProbe: {tcpSocket: {port: 1}, successThreshold: 2}"),
    want: /successThreshold: 2 .*1 for liveness/,
  },
  {
    name: "a zero period",
    yaml: container("livenessProbe: {tcpSocket: {port: 1}, periodSeconds: 0}"),
    want: /periodSeconds: 0 .*from 1 to/,
  },
  {
    name: "a header that ends the header",
    yaml: container('readinessProbe: {httpGet: {port: 1, httpHeaders: [{name: A, value: "b\\r\\nC: d"}]}}'),
    want: /httpHeaders\[0\]\.value/,
  },
  {
    name: "a unit that is an option",
    yaml: HEAD.replace(
      "nodeplane.dev/pod-ip: 10.244.0.2",
      "nodeplane.dev/pod-ip: 10.244.0.2, nodeplane.dev/unit: -H",
    ),
    want: /unit\]: "-H" .*systemd unit/,
  },
];

for (const row of refused) {
  test(`a manifest is refused for ${row.name}`, () => {
    const yaml =
      row.yaml.includes("spec:") || !row.yaml.startsWith("apiVersion")
        ? row.yaml
        : `${row.yaml}\nspec: {containers: [{name: c}]}`;
    assert.throws(
      () => manifest(yaml),
      (error: Error) => {
        assert.match(error.message, row.want);
        assert.ok(!error.message.includes("\n"), "one line");
        return true;
      },
    );
  });
}

test("a folder is followed: it may come later, go, and be another one", async () => {
  const path = join(mkdtempSync(join(tmpdir(), "nodeplane-manifests-")), "m");
  const abort = new AbortController();
  const states: string[] = [];
  new ManifestDirectory(path, systemClock).follow(({ manifests }) => {
    states.push(manifests.map(({ manifest }) => manifest.name).join());
  }, abort.signal);
  const seen = async (want: string) => {
    for (let i = 0; i < 100 && states.at(-1) !== want; i++) await delay(50);
    assert.equal(states.at(-1), want);
  };
  const write = (name: string) => {
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name },
      spec: { hostNetwork: true, containers: [{ name: "c" }] },
    };
    writeFileSync(join(path, `${name}.json`), JSON.stringify(pod));
  };
  await seen("");
  mkdirSync(path);
  write("a");
  await seen("a");
  write("b");
  await seen("a,b");
  renameSync(path, `${path}.old`);
  await seen("");
  mkdirSync(path);
  write("c");
  await seen("c");
  write("d");
  await seen("c,d");
  abort.abort();
  rmSync(dirname(path), { recursive: true });
});
