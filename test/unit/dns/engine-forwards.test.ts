/** Which `forward` lines the native engine takes, with what, and how health goes both ways. The engine is the fake. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeMessage } from "../../../src/codec/dns/encode.ts";
import { DnsEngine } from "../../../src/dns/engine/engine.ts";
import { buildInstance } from "../../../src/dns/server/instance.ts";
import { Responder } from "../../../src/dns/server/responder.ts";
import { FakeUdpEngine } from "../../../src/drivers/udp-engine/fake.ts";
import { queryMessage } from "../../support/dns-query.ts";
import { parse, testRuntime } from "./support.ts";

function setUp(blocks: string) {
  const runtime = testRuntime();
  const fake = new FakeUdpEngine(runtime.now, () => undefined);
  const engine = new DnsEngine(fake, runtime);
  const instance = buildInstance(parse(blocks), runtime, { defaultPort: 53, isStopping: () => false });
  const zones = instance.listeners[0]?.zones ?? assert.fail();
  engine.use(instance, [{ id: 0, server: "dns://:53", zones }]);
  return { runtime, fake, engine, zones };
}

const block = (lines: string): string => `.:53 {\n ${lines}\n}\n`;
const groups = (lines: string) => setUp(block(lines)).fake.configured?.groups ?? assert.fail();

const TAKEN: Readonly<Record<string, string>> = {
  "kubeadm's":
    "errors\n health\n ready\n kubernetes cluster.local\n prometheus :9153\n forward . 192.0.2.1\n cache 30\n loop\n reload\n loadbalance",
  "IPv6, ports": "forward . 2001:db8::1 [2001:db8::2]:5353",
  "a source address": "forward . 192.0.2.1 {\n source_address 192.0.2.9\n }",
  "stale replies": "cache 30 {\n serve_stale\n }\n forward . 192.0.2.1",
};
for (const [title, lines] of Object.entries(TAKEN)) {
  test(`taken: ${title}`, () => assert.equal(groups(lines).length, 1));
}

const LEFT: Readonly<Record<string, string>> = {
  TLS: "forward . tls://192.0.2.1",
  "one of two over TLS": "forward . 192.0.2.2 tls://192.0.2.1",
  force_tcp: "forward . 192.0.2.1 {\n force_tcp\n }",
  failover: "forward . 192.0.2.1 {\n failover SERVFAIL\n }",
  "several lines": "forward example.org 192.0.2.1\n forward . 192.0.2.2",
  "a host name": "forward . ns.example.org",
  "an address of a link": "forward . fe80::1%eth0",
  "a source of another family": "forward . 2001:db8::1 {\n source_address 192.0.2.9\n }",
  log: "log\n forward . 192.0.2.1",
  rewrite: "rewrite name a.example b.example\n forward . 192.0.2.1",
  cancel: "cancel\n forward . 192.0.2.1",
  metadata: "metadata\n forward . 192.0.2.1",
  dns64: "dns64\n forward . 192.0.2.1",
  hosts: "hosts {\n 192.0.2.3 a.example\n }\n forward . 192.0.2.1",
};
for (const [title, lines] of Object.entries(LEFT)) {
  test(`left to the chain: ${title}`, () => assert.equal(groups(lines).length, 0));
}

test("a group says what its line says", () => {
  const options =
    "except private.example\n policy round_robin\n max_concurrent 7\n read_timeout 3s\n expire 20s\n max_connect_attempts 3";
  const { fake } = setUp(
    block(`kubernetes cluster.local\n cache\n forward . 192.0.2.1 192.0.2.2:5353 {\n ${options}\n }`),
  );
  const { token, ...group } = fake.configured?.groups[0] ?? assert.fail();
  assert.ok(token > 0);
  assert.deepEqual(group, {
    isThroughChain: true,
    policy: "round_robin",
    timeoutMs: 3_000,
    maxAttempts: 3,
    maxConcurrent: 7,
    lifeMs: 20_000,
    zones: ["."],
    left: ["private.example.", "cluster.local."],
    upstreams: [
      { counter: 0, address: "192.0.2.1", port: 53, lifeMs: 20_000 },
      { counter: 1, address: "192.0.2.2", port: 5353, lifeMs: 20_000 },
    ],
  });
  assert.equal(fake.configured?.routes[0]?.forward?.group, 0);
});

test("what the engine sees of upstreams decides about their health, and comes back to it", () => {
  const { fake, engine } = setUp(block("forward . 192.0.2.1 192.0.2.2 {\n max_fails 1\n }"));
  const healthy = { isDown: false, isSuspect: false, losesCase: false };
  assert.deepEqual([...fake.health.values()], [healthy, healthy]);
  const idle = { failed: 0, recovered: 0 };
  const see = (failed: number, recovered: number): void => {
    fake.state = { inWork: 0, groups: [0], upstreams: [idle, { failed, recovered }] };
    engine.onForwarding();
  };
  see(1, 0);
  assert.deepEqual(fake.health.get(1), { ...healthy, isSuspect: true });
  see(2, 0);
  assert.deepEqual(fake.health.get(1), { ...healthy, isSuspect: true, isDown: true });
  assert.deepEqual(fake.health.get(0), healthy);
  see(2, 0);
  assert.equal(fake.health.get(1)?.isDown, true, "nothing new");
  see(2, 1);
  assert.deepEqual(fake.health.get(1), healthy);
});

test("a reply that came with its query is used, kept, and marked; another token's is not", async () => {
  const { runtime, fake, zones } = setUp(block("cache 30 {\n success 1\n }\n forward . 192.0.2.1"));
  const responder = new Responder({
    log: runtime.log,
    onDropped: () => undefined,
    onCrash: () => undefined,
    monotonicMs: () => 0,
    nowSeconds: () => 0,
  });
  const client = {
    transport: "udp",
    address: "192.0.2.7",
    port: 9,
    localAddress: "192.0.2.8",
    localPort: 53,
  } as const;
  const token = fake.configured?.groups[0]?.token ?? assert.fail();
  const respond = (name: string, change: { token?: number; errno?: number } = {}) => {
    const query = queryMessage(name);
    const data = { kind: "address", address: "198.51.100.1" as never } as const;
    const answers = [{ name, type: 1, class: 1, ttl: 300, data }];
    const reply =
      change.errno === undefined
        ? encodeMessage({ ...query, isResponse: true, answers })
        : { errno: change.errno };
    const verdict = { token: change.token ?? token, upstream: 0, seconds: 0.001, reply };
    return responder.respond(encodeMessage(query), client, { zones, server: "dns://:53" }, verdict);
  };
  const first = respond("www.example.org.");
  assert.ok(first instanceof Buffer, "without asking anybody");
  const until = fake.kept.get("www.example.org. 1 0") ?? 0;
  assert.equal(until, runtime.now() + 30_000);
  assert.ok(respond("next.example.org.") instanceof Buffer);
  assert.equal(fake.kept.get("www.example.org. 1 0"), 0, "it had to make room");
  const failed = respond("failed.example.org.", { errno: 110 });
  assert.ok(failed instanceof Buffer && (failed[3] ?? 0) % 16 === 2);
  assert.ok(respond("other.example.org.", { token: token + 1 }) instanceof Promise, "asks itself");
});
