/** Plugins of a few lines: weights, metadata, nsid, timeouts, cancel; transfers are counted. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { encodeMessage } from "../../../src/codec/dns/encode.ts";
import type { DnsMessage } from "../../../src/codec/dns/message.ts";
import { drawFirst, parseWeights } from "../../../src/dns/plugins/loadbalance/weights.ts";
import { record } from "../../../src/dns/query.ts";
import { queryMessage } from "../../support/dns-query.ts";
import { testResolver } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "nodeplane-plugins-"));
after(() => rmSync(folder, { recursive: true, force: true }));

suite("loadbalance weighted", () => {
  const address = (text: string) => record("W.test.", 1, 60, { kind: "address", address: text as never });
  const records = [
    record("w.test.", 5, 60, { kind: "name", name: "W.test." }),
    address("10.0.0.1"),
    address("10.0.0.2"),
    address("10.0.0.3"),
  ];

  test("the first address is drawn by weight; the rest keeps its order", () => {
    const weights = parseWeights(
      "# weights\nw.test\n10.0.0.1 3\n10.0.0.2 1 # one\n\nother.test.\n10.0.0.1 9\n",
    );
    const first = (random: number) => {
      const drawn = drawFirst(records, weights, () => random);
      assert.equal(drawn.length, 4);
      assert.equal(drawn[0], records[0]);
      return records.indexOf(drawn[1] ?? assert.fail());
    };
    // Weights 3, 1 and, for the one that is not listed, 1.
    assert.deepEqual([0, 0.59, 0.61, 0.79, 0.81, 0.99].map(first), [1, 1, 2, 2, 3, 3]);
  });

  test("names without weights stay as they are", () => {
    assert.equal(
      drawFirst(records, parseWeights("x.test\n10.0.0.1 3\n"), () => 0.9),
      records,
    );
  });

  for (const [text, complaint] of [
    ["10.0.0.1 3", /line 1: an address before any name/],
    ["w.test\n10.0.0.1 0", /line 2: expected ADDRESS WEIGHT/],
    ["w.test\n10.0.0.1 256", /line 2: expected/],
    ["10.0.0.1\n", /line 1: "10.0.0.1" is no name/],
    ["w.test\nx 3", /line 2: expected/],
  ] as const) {
    test(`refused: ${text.replace("\n", "\\n")}`, () => assert.throws(() => parseWeights(text), complaint));
  }

  test("the file is read with the Corefile; without it, or with a bad one, there is one line", () => {
    const path = join(folder, "weights");
    writeFileSync(path, "w.test\n10.0.0.1 x\n");
    assert.throws(
      () => testResolver(`.:53 {\n loadbalance weighted ${path}\n}`),
      /Corefile:2: loadbalance: .*line 2/,
    );
    assert.throws(() => testResolver(".:53 {\n loadbalance weighted\n}"), /the form is: loadbalance/);
    assert.throws(() => testResolver(".:53 {\n loadbalance round_robin f\n}"), /the form is: loadbalance/);
    assert.throws(() => testResolver(".:53 {\n loadbalance fair\n}"), /allowed: round_robin, weighted/);
  });
});

test("metadata: parts of a cluster name, of a rewritten one as it was asked, and view/name", async () => {
  const format =
    '"{/kubernetes/kind} {/kubernetes/namespace} {/kubernetes/service} {/kubernetes/port-name} {/kubernetes/protocol} {/kubernetes/endpoint} {/view/name} {/kubernetes/client-namespace}"';
  const resolver = testResolver(`.:53 {
    metadata
    view inner {
      expr metadata('kubernetes/namespace') == 'ns'
    }
    kubernetes cluster.local
    log . ${format}
  }`);
  await resolver.ask("_http._tcp.web.ns.svc.cluster.local.", "SRV");
  await resolver.ask("ep.web.ns.svc.cluster.local.");
  assert.deepEqual(
    resolver.lines.filter((line) => line.startsWith("[INFO]")),
    ["[INFO] svc ns web http tcp  inner -", "[INFO] svc ns web   ep inner -"],
  );
  assert.equal((await resolver.ask("web.other.svc.cluster.local.")).rcode, 5);
});

test("nsid: for who asks", async () => {
  const resolver = testResolver(".:53 {\n nsid server one\n whoami\n}");
  const edns = (codes: readonly number[]) => ({
    edns: {
      udpBytes: 1232,
      version: 0,
      dnssecOk: false,
      options: codes.map((code) => ({ code, bytes: new Uint8Array() })),
    },
  });
  const ask = async (codes: readonly number[]): Promise<DnsMessage | undefined> =>
    resolver.send(encodeMessage({ ...queryMessage("a."), ...edns(codes) }));
  const texts = (await ask([3]))?.edns?.options.map(
    ({ code, bytes }) => `${code} ${Buffer.from(bytes).toString()}`,
  );
  assert.deepEqual(texts, ["3 server one"]);
  assert.deepEqual((await ask([]))?.edns?.options, []);
});

test("timeouts reach the listener; nonsense is refused", () => {
  const { instance } = testResolver(
    ".:53 {\n timeouts {\n read 1s\n write 2s\n idle 60\n maxtcpqueries 5\n }\n whoami\n}",
  );
  assert.deepEqual(instance.listeners[0]?.tcpLimits, {
    readTimeoutMs: 1_000,
    writeTimeoutMs: 2_000,
    idleTimeoutMs: 60_000,
    maxQueries: 5,
  });
  for (const bad of ["", "read 0s", "maxtcpqueries 0", "speed 1s"]) {
    assert.throws(() => testResolver(`.:53 {\n timeouts {\n ${bad}\n }\n whoami\n}`), /Corefile:[23]: /);
  }
});

test("cancel: what takes too long gets no reply", async () => {
  const silent = createSocket("udp4");
  await new Promise<void>((resolve) => silent.bind(0, "127.0.0.1", resolve));
  const { port } = silent.address();
  const resolver = testResolver(
    `.:53 {\n cancel 50ms\n forward . 127.0.0.1:${port} {\n read_timeout 300ms\n max_connect_attempts 1\n }\n}`,
  );
  assert.equal(await resolver.send(encodeMessage(queryMessage("a."))), undefined);
  silent.close();
});

test("a zone transfer is counted as a query and a reply", async () => {
  const path = join(folder, "zone");
  writeFileSync(path, "@ SOA ns admin 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n");
  const resolver = testResolver(
    `example.org:53 {\n prometheus localhost:0\n file ${path}\n transfer {\n to *\n }\n}`,
  );
  const reply = await resolver.send(encodeMessage(queryMessage("example.org.", "AXFR")), {
    transport: "tcp",
  });
  assert.equal(reply?.answers.length, 4);
  const text = await resolver.runtime.metrics.text();
  assert.match(
    text,
    /coredns_dns_requests_total\{server="dns:\/\/:53",zone="example\.org\.",view="",proto="tcp",family="1",type="other"\} 1/,
  );
  assert.match(text, /coredns_dns_responses_total\{.*rcode="NOERROR",plugin="transfer"\} 1/);
});
