/** Health endpoints by state. Source: test/cases/packet-cases.yaml, `http`; kube-proxy 1.33, pkg/proxy/healthcheck. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import pino from "pino";
import { AgentHealth, type ProgrammingState } from "../../../src/agent/health/agent-health.ts";
import { healthReply } from "../../../src/agent/health/health-replies.ts";
import { LocalServices } from "../../../src/agent/services/local-services.ts";
import { type ServiceHealth, ServiceHealthServers } from "../../../src/agent/services/service-health.ts";
import { parseIp } from "../../../src/model/ip.ts";
import type { Node } from "../../../src/model/objects.ts";
import { freePort } from "../../support/free-port.ts";
import { endpoint, meta, service, slice } from "../../support/objects.ts";
import { FakeClock } from "./fake-clock.ts";

const NODE: Node = { kind: "Node", meta: meta("", "n1"), internalIPs: [], podCIDRs: [], taintKeys: [] };
const TAINTED: Node = { ...NODE, taintKeys: ["ToBeDeletedByClusterAutoscaler"] };
const DELETED: Node = { ...NODE, meta: { ...NODE.meta, deletionTimestampMs: 1 } };
const START: ProgrammingState = { programmed: false };
const LIVE: ProgrammingState = { programmed: true, revision: "7", receivedRevision: "7", programmedAtMs: 5 };

/** `waitsMs`: how long a change has been waiting. */
const rows: readonly {
  name: string;
  path: string;
  state: ProgrammingState;
  waitsMs?: number;
  node?: Node;
  status: number;
  body?: RegExp;
}[] = [
  { name: "healthz-starting", path: "/healthz", state: START, status: 200 },
  { name: "healthz-stale", path: "/healthz", state: LIVE, waitsMs: 60_000, status: 503 },
  { name: "healthz while a change waits", path: "/healthz", state: LIVE, waitsMs: 59_999, status: 200 },
  {
    name: "healthz-taint",
    path: "/healthz",
    state: LIVE,
    node: TAINTED,
    status: 503,
    body: /"nodeEligible":false/,
  },
  {
    name: "healthz with a deletionTimestamp",
    path: "/healthz",
    state: LIVE,
    node: DELETED,
    status: 503,
    body: /"nodeEligible":false/,
  },
  { name: "livez with a taint", path: "/livez", state: LIVE, node: TAINTED, status: 200 },
  { name: "livez-stale", path: "/livez", state: LIVE, waitsMs: 60_000, status: 503 },
  {
    name: "readyz before the first state",
    path: "/readyz",
    state: START,
    status: 503,
    body: /^\[-\]synced failed: no complete state/,
  },
  {
    name: "readyz received, not written",
    path: "/readyz",
    state: { programmed: false, receivedRevision: "7" },
    status: 503,
    body: /\[\+\]synced ok: revision 7\n\[-\]programmed failed/,
  },
  { name: "readyz", path: "/readyz", state: LIVE, status: 200, body: /^ok\n$/ },
  {
    name: "readyz verbose",
    path: "/readyz?verbose",
    state: LIVE,
    status: 200,
    body: /\[\+\]programmed ok: revision 7\nreadyz check passed/,
  },
  { name: "another path", path: "/", state: LIVE, status: 404 },
];

for (const row of rows) {
  test(`health: ${row.name}`, () => {
    const clock = new FakeClock();
    const waiting = row.waitsMs === undefined ? {} : { pendingForMs: row.waitsMs };
    const health = new AgentHealth({ clock, timeoutMs: 60_000, state: () => ({ ...row.state, ...waiting }) });
    health.setNode(row.node);
    const counted: string[] = [];
    const reply = healthReply(new URL(row.path, "http://h"), {
      health,
      nowMs: clock.now(),
      missing: [],
      count: (name, status) => counted.push(`${name} ${status}`),
    });
    assert.equal(reply.status, row.status);
    assert.match(reply.body, row.body ?? /./);
    if (/^\/(healthz|livez)/.test(row.path))
      assert.deepEqual(counted, [`${row.path.slice(1)} ${row.status}`]);
  });
}

test("readyz names missing preconditions without failing", () => {
  const clock = new FakeClock();
  const health = new AgentHealth({ clock, timeoutMs: 1, state: () => LIVE });
  const context = { health, nowMs: 0, missing: ["ip-forward: no"], count: () => undefined };
  const reply = healthReply(new URL("http://h/readyz"), context);
  assert.equal(reply.status, 200);
  assert.match(reply.body, /\[!\]precondition missing: ip-forward: no\n/);
});

test("local endpoints are counted by address, ready ones on this node alone", () => {
  const seen: (readonly ServiceHealth[])[] = [];
  const local = new LocalServices("n1", (wanted) => seen.push(wanted));
  const send = (...objects: Parameters<LocalServices["upsert"]>[0][]) => {
    for (const object of objects) local.upsert(object);
    local.commit();
  };
  local.begin({ revision: 1n, snapshot: true, origin: "live", changedAtMs: 0 });
  const here = { nodeName: "n1" };
  send(
    slice("lb", [
      endpoint("10.0.0.1", here),
      endpoint("10.0.0.2", { ...here, ready: false, terminating: true }),
      endpoint("10.0.0.3", { nodeName: "n2" }),
    ]),
    slice("lb", [endpoint("10.0.0.1", here)], { suffix: "2" }),
    slice("lb", [endpoint("fd00::1", here)], { suffix: "6" }),
    slice("lb", [endpoint("10.0.0.4", { ...here, weight: 0 })], { suffix: "drained" }),
    slice("lb", [endpoint("10.0.0.5", here)], {
      suffix: "headless",
      labels: { "service.kubernetes.io/headless": "" },
    }),
    service("lb", { type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: 30_000 }),
    service("other", { type: "LoadBalancer", healthCheckNodePort: 30_001 }),
    service("foreign", {
      type: "LoadBalancer",
      externalTrafficPolicy: "Local",
      healthCheckNodePort: 30_002,
      labels: { "service.kubernetes.io/service-proxy-name": "other" },
    }),
  );
  assert.deepEqual(seen.at(-1), [
    { namespace: "default", name: "lb", uid: "", port: 30_000, localEndpoints: 1 },
  ]);
  send(
    slice("lb", [endpoint("10.0.0.2", { ...here, ready: false, terminating: true })]),
    slice("lb", [], { suffix: "2" }),
    slice("lb", [], { suffix: "6" }),
  );
  assert.equal(seen.at(-1)?.[0]?.localEndpoints, 0);
  const calls = seen.length;
  send(slice("unrelated", [endpoint("10.0.0.9", here)]));
  assert.equal(seen.length, calls, "what changes nothing is not told");
  local.remove({ kind: "Service", namespace: "default", name: "lb" });
  local.commit();
  assert.deepEqual(seen.at(-1), []);
});

test("healthCheckNodePort: status, body, weight header; a new port is a new listener", async () => {
  let isHealthy = true;
  const failures: string[] = [];
  const servers = new ServiceHealthServers({
    addresses: () => undefined,
    isHealthy: () => isHealthy,
    log: pino({ level: "silent" }),
    clock: new FakeClock(),
    onBindFailure: (_, message) => failures.push(message),
  });
  const [first, second] = [await freePort(), await freePort()];
  const health = (port: number, localEndpoints: number) => [
    { namespace: "ns", name: "lb", uid: "", port, localEndpoints },
  ];
  const ask = (port: number) => fetch(`http://127.0.0.1:${port}/any`);
  await servers.set(health(first, 2));
  let reply = await ask(first);
  assert.equal(reply.status, 200);
  assert.equal(reply.headers.get("x-load-balancing-endpoint-weight"), "2");
  assert.deepEqual(await reply.json(), {
    service: { namespace: "ns", name: "lb" },
    localEndpoints: 2,
    serviceProxyHealthy: true,
  });
  isHealthy = false;
  reply = await ask(first);
  assert.equal(reply.status, 503);
  assert.equal(((await reply.json()) as { serviceProxyHealthy: boolean }).serviceProxyHealthy, false);
  isHealthy = true;
  await servers.set(health(first, 0));
  assert.equal((await ask(first)).status, 503);
  await servers.set(health(second, 1));
  assert.equal((await ask(second)).status, 200);
  await assert.rejects(ask(first));
  const taken = createServer();
  const port = await new Promise<number>((resolve) => {
    taken.listen(0, () => resolve((taken.address() as { port: number }).port));
  });
  await servers.set(health(port, 1));
  assert.match(failures[0] ?? "", /EADDRINUSE/);
  await servers.close();
  taken.close();
});

test("health checks of Services follow the addresses of the node", async () => {
  let addresses: readonly string[] = [];
  const servers = new ServiceHealthServers({
    addresses: () => addresses.map((address) => parseIp(address) ?? assert.fail(address)),
    isHealthy: () => true,
    log: pino({ level: "silent" }),
    clock: new FakeClock(),
    onBindFailure: (_, message) => assert.fail(message),
  });
  const port = await freePort();
  const wanted = [{ namespace: "ns", name: "lb", uid: "", port, localEndpoints: 1 }];
  const answers = async () => {
    const open: string[] = [];
    for (const host of ["127.0.0.1", "127.0.0.2"])
      await fetch(`http://${host}:${port}`).then(
        () => open.push(host),
        () => undefined,
      );
    return open;
  };
  for (const now of [[], ["127.0.0.1"], ["127.0.0.1", "127.0.0.2"], ["127.0.0.2"]]) {
    addresses = now;
    await servers.set(wanted);
    assert.deepEqual(await answers(), now);
  }
  await servers.close();
  assert.deepEqual(await answers(), []);
});
