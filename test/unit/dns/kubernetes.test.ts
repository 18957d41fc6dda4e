/** What the DNS cases do not ask of the kubernetes plugin: before the first data, alias loops, hidden objects, odd names. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RCODE } from "../../../src/codec/dns/constants.ts";
import type { DnsMessage } from "../../../src/codec/dns/message.ts";
import { formatData } from "../../../src/codec/dns/text.ts";
import { dashed, undashed } from "../../../src/dns/plugins/kubernetes/cluster-view.ts";
import { parseLabelSelector } from "../../../src/dns/plugins/kubernetes/label-selector.ts";
import { parseIp } from "../../../src/model/ip.ts";
import type { FeedObject } from "../../../src/model/objects.ts";
import {
  meta as metaOf,
  type ServiceFields,
  service as serviceOf,
  slice as sliceOf,
} from "../../support/objects.ts";
import { type TestResolver, testResolver } from "./support.ts";

const ip = (text: string) => parseIp(text) ?? assert.fail(text);
const meta = (namespace: string, name: string) => ({
  ...metaOf(namespace, name),
  labels: { kubernetes: "yes" },
});
function service(name: string, change: ServiceFields): FeedObject {
  const ports = [{ name: "HTTP", protocol: "TCP", port: 80, nodePort: 0 }] as const;
  return { ...serviceOf(`ns/${name}`, { clusterIPs: [], ports, ...change }), meta: meta("ns", name) };
}

function endpoints(serviceName: string, addresses: readonly string[]): FeedObject {
  const slice = sliceOf(`ns/${serviceName}`, addresses, { addressType: "IPv4", ports: [] });
  return { ...slice, meta: meta("ns", slice.meta.name) };
}

function fill(resolver: TestResolver, objects: readonly FeedObject[], isCommitted = true): void {
  const { cluster } = resolver.runtime;
  const batch = { revision: 1n, snapshot: true, origin: "live", changedAtMs: 0 } as const;
  cluster.begin(batch);
  for (const object of objects) cluster.upsert(object);
  if (isCommitted) cluster.commit(batch);
}

const data = (message: DnsMessage) => message.answers.map((entry) => formatData(entry.data));
const block = (options = "") =>
  `.:53 {\n kubernetes cluster.local in-addr.arpa ip6.arpa {\n ${options}\n }\n whoami\n}`;

test("before the first data: what is there is answered, what is missing is SERVFAIL, nothing falls through", async () => {
  const resolver = testResolver(block("fallthrough"));
  fill(resolver, [service("web", { clusterIPs: [ip("10.96.0.9")] })], false);
  assert.deepEqual(data(await resolver.ask("web.ns.svc.cluster.local.")), ["10.96.0.9"]);
  const missing = await resolver.ask("ghost.ns.svc.cluster.local.");
  assert.deepEqual([missing.rcode, missing.authorities.length], [RCODE.SERVFAIL, 1]);
  assert.deepEqual(resolver.instance.settings.notReady(), ["kubernetes"]);
  fill(resolver, [service("web", { clusterIPs: [ip("10.96.0.9")] })]);
  assert.equal((await resolver.ask("ghost.ns.svc.cluster.local.")).additionals.length, 2);
  assert.deepEqual(resolver.instance.settings.notReady(), []);
});

test("prefer takes one decision for both families", async () => {
  const resolver = testResolver(block("zonal"));
  const inZone = (address: string, zone: string): FeedObject => {
    const slice = sliceOf("ns/web", [address], {
      addressType: address.includes(":") ? "IPv6" : "IPv4",
      ports: [],
    });
    const own = slice.endpoints.map((endpoint) => ({ ...endpoint, zone }));
    return { ...slice, endpoints: own, meta: meta("ns", `web-${zone}-${address.length}`) };
  };
  const headless = service("web", { headless: true });
  fill(resolver, [headless, inZone("10.0.0.1", "a"), inZone("10.0.0.22", "b"), inZone("fd00::1", "b")]);
  const name = (zone: string) => `${zone}.prefer._zone.web.ns.svc.cluster.local.`;
  assert.deepEqual(data(await resolver.ask(name("a"))), ["10.0.0.1"]);
  assert.deepEqual(data(await resolver.ask(name("a"), "AAAA")), [], "no detour through zone b");
  assert.deepEqual(data(await resolver.ask(name("c"), "AAAA")), ["fd00::1"]);
});

test("two ExternalNames that name each other end in SERVFAIL", async () => {
  const resolver = testResolver(block());
  const external = (name: string, to: string) =>
    service(name, { type: "ExternalName", externalName: `${to}.ns.svc.cluster.local` });
  fill(resolver, [external("a", "b"), external("b", "a")]);
  assert.equal((await resolver.ask("a.ns.svc.cluster.local.")).rcode, RCODE.SERVFAIL);
  assert.deepEqual(data(await resolver.ask("a.ns.svc.cluster.local.", "CNAME")), ["b.ns.svc.cluster.local."]);
});

test("port names and protocols compare in lower case; a service without address is empty, not missing", async () => {
  const resolver = testResolver(block());
  fill(resolver, [service("web", { clusterIPs: [ip("10.96.0.9")] }), service("new", {})]);
  assert.equal(data(await resolver.ask("_Http._TCP.web.ns.svc.cluster.local.", "SRV")).length, 1);
  const empty = await resolver.ask("new.ns.svc.cluster.local.");
  assert.deepEqual([empty.rcode, empty.answers.length], [RCODE.NOERROR, 0]);
});

test("inner nodes of the reverse tree follow the endpoints; hidden ones have none", async () => {
  const open = testResolver(block());
  const hidden = testResolver(block("namespaces other"));
  for (const resolver of [open, hidden]) {
    fill(resolver, [service("web", { headless: true }), endpoints("web", ["10.1.2.3"])]);
  }
  assert.equal((await open.ask("2.1.10.in-addr.arpa.", "PTR")).rcode, RCODE.NOERROR);
  assert.equal((await open.ask("3.1.10.in-addr.arpa.", "PTR")).rcode, RCODE.NXDOMAIN);
  assert.equal((await hidden.ask("2.1.10.in-addr.arpa.", "PTR")).rcode, RCODE.NXDOMAIN);
  fill(open, [service("web", { headless: true }), endpoints("web", ["10.1.9.3"])]);
  assert.equal((await open.ask("2.1.10.in-addr.arpa.", "PTR")).rcode, RCODE.NXDOMAIN);
  assert.equal((await open.ask("9.1.10.in-addr.arpa.", "PTR")).rcode, RCODE.NOERROR);
});

test("an endpoint that is gone leaves the name; without any the name is gone", async () => {
  const resolver = testResolver(block());
  fill(resolver, [service("web", { headless: true }), endpoints("web", ["10.1.2.3", "10.1.2.4"])]);
  assert.equal(data(await resolver.ask("web.ns.svc.cluster.local.")).length, 2);
  fill(resolver, [service("web", { headless: true }), endpoints("web", ["10.1.2.4"])]);
  assert.deepEqual(data(await resolver.ask("web.ns.svc.cluster.local.")), ["10.1.2.4"]);
  fill(resolver, [service("web", { headless: true }), endpoints("web", [])]);
  assert.equal((await resolver.ask("web.ns.svc.cluster.local.")).rcode, RCODE.NXDOMAIN);
});

const oddNames = [
  "a\\.b.ns.svc.cluster.local.",
  "\\000.ns.svc.cluster.local.",
  "constructor.__proto__.svc.cluster.local.",
  `${"x".repeat(63)}.ns.svc.cluster.local.`,
];
for (const name of oddNames) {
  test(`odd name ${name.slice(0, 30)}: NXDOMAIN`, async () => {
    const resolver = testResolver(block());
    fill(resolver, [service("web", { clusterIPs: [ip("10.96.0.9")] })]);
    assert.equal((await resolver.ask(name)).rcode, RCODE.NXDOMAIN);
  });
}

test("dashed addresses and back", () => {
  for (const text of ["10.1.2.3", "fd00::5", "fd00:1::", "::1", "2001:db8::1:0:0:1"]) {
    assert.equal(undashed(dashed(ip(text))), ip(text));
  }
  assert.equal(dashed(ip("fd00:1::")), "fd00-1--0");
  assert.equal(undashed("2001-db8-0-0-0-0-0-1"), ip("2001:db8::1"));
  for (const text of ["1-2-3", "300-1-1-1", "web-1", "a--b--c", "dead"])
    assert.equal(undashed(text), undefined);
});

const selectors: readonly (readonly [string, Record<string, string>, boolean])[] = [
  ["a=b", { a: "b" }, true],
  ["a==b,c!=d", { a: "b", c: "d" }, false],
  ["a in (x, y)", { a: "y" }, true],
  ["a notin (x,y)", {}, true],
  ["a,!b", { a: "" }, true],
  ["!a", { a: "" }, false],
];
for (const [text, labels, expected] of selectors) {
  test(`selector ${text}`, () => assert.equal(parseLabelSelector(text)?.(labels), expected));
}

test("objects whose names are no names cost their own answers only", async () => {
  const resolver = testResolver(block());
  const long = `${"l".repeat(60)}.`.repeat(4);
  fill(resolver, [
    service("bad", { type: "ExternalName", externalName: "a..b" }),
    service("long", { headless: true, ports: [{ name: "p", protocol: "TCP", port: 1, nodePort: 0 }] }),
    {
      ...endpoints("long", ["10.1.2.3"]),
      ports: [{ name: "p", protocol: "TCP", port: 1 }],
      endpoints: [
        {
          addresses: [ip("10.1.2.3")],
          ready: true,
          serving: true,
          terminating: false,
          hostname: `${long}..`,
        },
      ],
    } as FeedObject,
    service("web", { clusterIPs: [ip("10.96.0.9")] }),
  ]);
  assert.equal((await resolver.ask("bad.ns.svc.cluster.local.")).rcode, RCODE.NXDOMAIN);
  assert.equal((await resolver.ask("_p._tcp.long.ns.svc.cluster.local.", "SRV")).rcode, RCODE.SERVFAIL);
  assert.match(resolver.lines.join(), /answer to _p\._tcp\.long/);
  assert.deepEqual(data(await resolver.ask("web.ns.svc.cluster.local.")), ["10.96.0.9"]);
});
