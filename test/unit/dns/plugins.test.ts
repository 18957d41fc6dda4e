/** Small plugins, asked through a whole server block. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CLASS, RCODE, TYPE } from "../../../src/codec/dns/constants.ts";
import { encodeMessage } from "../../../src/codec/dns/encode.ts";
import type { DnsMessage } from "../../../src/codec/dns/message.ts";
import { formatData } from "../../../src/codec/dns/text.ts";
import { compileExpression } from "../../../src/dns/expression/parser.ts";
import { QUERY_FUNCTIONS } from "../../../src/dns/expression/query-functions.ts";
import { embed } from "../../../src/dns/plugins/dns64/setup.ts";
import { parseCidr, parseIp } from "../../../src/model/ip.ts";
import { queryMessage } from "../../support/dns-query.ts";
import { testResolver } from "./support.ts";

const data = (message: DnsMessage | undefined) =>
  (message?.answers ?? []).map((entry) => formatData(entry.data));
const from = (address: string) => ({ address });

test("hosts: addresses, PTR, empty types, one-label wildcards, unknown names go on", async () => {
  const { ask } = testResolver(`.:53 {
    hosts /nowhere {
      192.0.2.1 a.test www.a.test
      2001:db8::1 a.test
      192.0.2.9 *.w.test
      ttl 60
      fallthrough
    }
    whoami
  }`);
  assert.deepEqual(data(await ask("A.test.")), ["192.0.2.1"]);
  assert.equal((await ask("a.test.")).answers[0]?.ttl, 60);
  assert.deepEqual(data(await ask("a.test.", "AAAA")), ["2001:db8::1"]);
  assert.deepEqual(data(await ask("1.2.0.192.in-addr.arpa.", "PTR")), ["a.test.", "www.a.test."]);
  assert.deepEqual(data(await ask("x.w.test.")), ["192.0.2.9"]);
  assert.equal((await ask("x.y.w.test.")).additionals.length, 2);
  const mx = await ask("a.test.", "MX");
  assert.deepEqual([mx.rcode, mx.answers.length, mx.authoritative], [0, 0, true]);
});

test("hosts: reverse names need no zone of their own and no fallthrough", async () => {
  const lines = "192.0.2.1 a.test\n 192.0.2.2 b.other";
  const { ask } = testResolver(`.:53 {\n hosts /nowhere test {\n ${lines}\n }\n whoami\n}`);
  assert.deepEqual(data(await ask("1.2.0.192.in-addr.arpa.", "PTR")), ["a.test."]);
  assert.equal(
    (await ask("2.2.0.192.in-addr.arpa.", "PTR")).additionals.length,
    2,
    "not of the zone: goes on",
  );
  const all = testResolver(`.:53 {\n hosts /nowhere {\n ${lines}\n }\n whoami\n}`);
  assert.equal((await all.ask("9.2.0.192.in-addr.arpa.", "PTR")).additionals.length, 2, "unknown: goes on");
  assert.equal((await all.ask("none.test.")).rcode, RCODE.SERVFAIL);
});

test("acl: the first line that fits decides; drop is silence", async () => {
  const { send } = testResolver(`.:53 {
    acl {
      allow net 10.1.0.0/16
      block type ANY
      filter net 10.0.0.0/8
      drop net 192.0.2.0/24
    }
    whoami
  }`);
  const query = (type = "A") => encodeMessage(queryMessage("x.", type));
  assert.equal((await send(query(), from("10.1.2.3")))?.additionals.length, 2);
  assert.equal((await send(query("ANY"), from("10.2.2.3")))?.rcode, RCODE.REFUSED);
  const filtered = await send(query(), from("10.2.2.3"));
  assert.deepEqual([filtered?.rcode, filtered?.additionals.length], [0, 0]);
  assert.equal(await send(query(), from("192.0.2.77")), undefined);
  assert.equal((await send(query(), from("198.51.100.1")))?.additionals.length, 2);
});

test("local: localhost and its reverse names", async () => {
  const { ask } = testResolver(".:53 {\n local\n whoami\n}");
  assert.deepEqual(data(await ask("localhost.")), ["127.0.0.1"]);
  assert.deepEqual(data(await ask("localhost.corp.example.", "AAAA")), ["::1"]);
  assert.deepEqual(data(await ask("1.0.0.127.in-addr.arpa.", "PTR")), ["localhost."]);
  assert.equal((await ask("9.0.0.127.in-addr.arpa.", "PTR")).rcode, RCODE.NXDOMAIN);
  assert.deepEqual(data(await ask("localhost.", "NS")), ["localhost."]);
  assert.equal((await ask("127.in-addr.arpa.", "SOA")).answers[0]?.type, TYPE.SOA);
  assert.equal((await ask("a.localhost.", "MX")).authorities[0]?.type, TYPE.SOA, "can be kept");
});

test("any and chaos", async () => {
  const { ask } = testResolver(".:53 {\n any\n chaos v1 me\n whoami\n}");
  assert.deepEqual(data(await ask("x.", "ANY")), ['"ANY obsoleted" "See RFC 8482"']);
  const question = { name: "Version.Bind.", type: TYPE.TXT, class: CLASS.CH };
  assert.deepEqual(data(await ask("version.bind.", "TXT", { questions: [question] })), ['"v1"']);
});

test("header, minimal", async () => {
  const { ask } = testResolver(".:53 {\n header {\n response set ra\n response clear aa\n }\n whoami\n}");
  const reply = await ask("x.");
  assert.deepEqual([reply.recursionAvailable, reply.authoritative], [true, false]);
  const lines = "header {\n response clear ra rd\n }\n forward example.test 192.0.2.1";
  const cleared = await testResolver(`.:53 {\n ${lines}\n whoami\n}`).ask("x.");
  assert.deepEqual(
    [cleared.recursionAvailable, cleared.recursionDesired],
    [false, false],
    "forwards, but says no",
  );
  const hosts = "hosts /nowhere {\n 192.0.2.1 a.test\n }";
  assert.equal((await testResolver(`.:53 {\n minimal\n ${hosts}\n}`).ask("a.test.")).answers.length, 1);
});

test("bufsize lowers the limit of UDP replies only", async () => {
  const lines = Array.from({ length: 80 }, (_, i) => `192.0.2.${i} many.test`).join("\n");
  const { ask, send } = testResolver(`.:53 {\n bufsize 600\n hosts /nowhere {\n ${lines}\n }\n}`);
  const edns = { udpBytes: 4096, version: 0, dnssecOk: false, options: [] };
  assert.equal((await ask("many.test.", "A", { edns })).truncated, true);
  const overTcp = await send(encodeMessage({ ...queryMessage("many.test."), edns }), { transport: "tcp" });
  assert.deepEqual([overTcp?.truncated, overTcp?.answers.length], [false, 80]);
});

test("loadbalance keeps every record and CNAMEs in front; preferred ranges first", async () => {
  const lines = "192.0.2.1 a.test\n 192.0.2.2 a.test\n 10.0.0.1 a.test\n 192.0.2.3 a.test";
  const { ask } = testResolver(
    `.:53 {\n loadbalance {\n prefer 10.0.0.0/8\n }\n hosts /nowhere {\n ${lines}\n }\n}`,
  );
  const orders = new Set<string>();
  for (let i = 0; i < 40; i++) {
    const seen = data(await ask("a.test."));
    assert.equal(seen[0], "10.0.0.1");
    assert.deepEqual(seen.toSorted(), ["10.0.0.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    orders.add(seen.join());
  }
  assert.ok(orders.size > 2);
});

test("dns64: prefixes of all lengths (RFC 6052 section 2.4), and AAAA made of A", async () => {
  const rows = [
    ["2001:db8::/32", "2001:db8:c000:221::"],
    ["2001:db8:100::/40", "2001:db8:1c0:2:21::"],
    ["2001:db8:122::/48", "2001:db8:122:c000:2:2100::"],
    ["2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"],
    ["2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100:0"],
    ["2001:db8:122:344::/96", "2001:db8:122:344::c000:221"],
  ] as const;
  for (const [prefix, expected] of rows) {
    const cidr = parseCidr(prefix) ?? assert.fail();
    const address = parseIp("192.0.2.33") ?? assert.fail();
    assert.equal(embed(cidr, address), parseIp(expected), prefix);
  }
  const hosts = "hosts /nowhere {\n 192.0.2.33 v4.test\n 2001:db8::7 both.test\n 192.0.2.7 both.test\n }";
  const { send } = testResolver(`.:53 {\n dns64\n ${hosts}\n}`);
  const query = (name: string) => encodeMessage(queryMessage(name, "AAAA"));
  assert.deepEqual(data(await send(query("v4.test."), from("2001:db8::5"))), ["64:ff9b::c000:221"]);
  assert.deepEqual(data(await send(query("both.test."), from("2001:db8::5"))), ["2001:db8::7"]);
  assert.deepEqual(data(await send(query("v4.test."), from("192.0.2.5"))), []);
  const edns = { udpBytes: 1232, version: 0, dnssecOk: true, options: [] };
  const secure = (checkingDisabled: boolean) =>
    encodeMessage({ ...queryMessage("v4.test.", "AAAA"), edns, checkingDisabled });
  assert.equal((await send(secure(false), from("2001:db8::5")))?.answers.length, 1, "a stub that says DO");
  assert.equal(
    (await send(secure(true), from("2001:db8::5")))?.answers.length,
    0,
    "one that validates itself",
  );
});

test("log: CoreDNS's line, classes, own formats", async () => {
  const { ask, lines } = testResolver(
    '.:53 {\n log ok.test {\n class denial\n }\n log . "{name} {rcode} {>rflags}"\n whoami\n}',
  );
  await ask("Any.test.");
  await ask("ok.test.");
  assert.equal(lines[0], "[INFO] any.test. NOERROR qr,aa,rd");
  assert.match(
    lines[1] ?? "",
    /^\[INFO\] 192\.0\.2\.9:5000 - 77 "A IN ok\.test\. udp 25 false 512" NOERROR qr,aa,rd \d+ 0\.0+s$/,
  );
});

test("log: lines that are JSON; a placeholder that is none is an error", async () => {
  const json =
    '{\\"name\\":\\"{name}\\",\\"from\\":{\\"site\\":1},\\"op\\":{>opcode},\\"label\\":\\"{/x}\\"}';
  const { ask, lines } = testResolver(`.:53 {\n log . "${json}"\n whoami\n}`);
  await ask("a.");
  assert.equal(lines[0], '[INFO] {"name":"a.","from":{"site":1},"op":0,"label":"-"}');
  assert.throws(
    () => testResolver('.:53 {\n log . "{when}"\n}'),
    /unknown placeholder \{when\}; allowed: \{type\}/,
  );
});

test("prometheus: CoreDNS's names and labels", async () => {
  const { ask, runtime } = testResolver(".:53 {\n prometheus localhost:0\n kubernetes cluster.local\n}");
  await ask("cluster.local.", "SOA");
  await ask("cluster.local.", "LOC");
  const text = await runtime.metrics.text();
  for (const line of [
    'coredns_dns_requests_total{server="dns://:53",zone=".",view="",proto="udp",family="1",type="SOA"} 1',
    'coredns_dns_requests_total{server="dns://:53",zone=".",view="",proto="udp",family="1",type="other"} 1',
    'coredns_dns_responses_total{server="dns://:53",zone=".",view="",rcode="NOERROR",plugin="kubernetes"} 2',
    'coredns_dns_request_duration_seconds_count{server="dns://:53",zone=".",view=""} 2',
    'coredns_dns_request_size_bytes_bucket{server="dns://:53",zone=".",view="",proto="udp",le="100"} 2',
    'coredns_plugin_enabled{server="dns://:53",zone=".",view="",name="kubernetes"} 1',
  ]) {
    assert.ok(text.includes(`${line}\n`), `missing: ${line}\n${text}`);
  }
});

test("view: blocks of one zone by condition", async () => {
  const { send } = testResolver(`.:53 {
    view inside {
      expr incidr(client_ip(), '10.0.0.0/8') && (type() in ['A', 'MX'] || name() endsWith 'x.')
    }
    any
    hosts /nowhere {
      192.0.2.1 a.test
    }
  }
  .:53 {
    chaos
    hosts /nowhere {
      192.0.2.2 a.test
    }
  }`);
  const query = encodeMessage(queryMessage("a.test."));
  assert.deepEqual(data(await send(query, from("10.1.1.1"))), ["192.0.2.1"]);
  assert.deepEqual(data(await send(query, from("192.0.2.9"))), ["192.0.2.2"]);
});

const LANGUAGE = { functions: QUERY_FUNCTIONS, variable: () => undefined };
const badExpressions = [
  "name(",
  "nope()",
  "1 +",
  "name() == 'a",
  "[1, 2",
  "name() name()",
  "(".repeat(99),
  "",
];
for (const text of badExpressions) {
  test(`view refuses: ${text.slice(0, 20)}`, () =>
    assert.equal(compileExpression(text, LANGUAGE).kind, "bad"));
}

test("a tls:// block without certificate is refused", () => {
  assert.throws(() => testResolver("tls://.:853 {\n whoami\n}"), /tls:\/\/ needs the tls plugin/);
});
