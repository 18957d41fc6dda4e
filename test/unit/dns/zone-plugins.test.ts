/** Plugins that make or change whole answers: file, rewrite, template, autopath. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { formatType, RCODE } from "../../../src/codec/dns/constants.ts";
import { encodeMessage } from "../../../src/codec/dns/encode.ts";
import type { DnsMessage, ResourceRecord } from "../../../src/codec/dns/message.ts";
import { formatData } from "../../../src/codec/dns/text.ts";
import { parseZoneFile } from "../../../src/codec/dns/zone-file.ts";
import { parseIp } from "../../../src/model/ip.ts";
import { queryMessage } from "../../support/dns-query.ts";
import { testResolver, testRuntime } from "./support.ts";

const folder = mkdtempSync(join(tmpdir(), "nodeplane-zones-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const text = (record: ResourceRecord): string =>
  `${record.name} ${record.ttl} ${formatType(record.type)} ${formatData(record.data)}`;
const answers = (message: DnsMessage) => message.answers.map(text);

const ZONE = `$TTL 1h
$ORIGIN example.org.
@ IN SOA ns1 admin (
    2026 ; serial
    2h 30m 2w 60 )
  NS ns1
ns1 60 A 192.0.2.1
www CNAME web
web A 192.0.2.2
    AAAA 2001:db8::2
*.wild TXT "any ; thing" second
deep.below.ent A 192.0.2.3
out CNAME else.where.test.
self CNAME self
sub NS ns.sub
ns.sub A 192.0.2.9
mail MX 10 web
old DNAME new
a.new A 192.0.2.7
gone DNAME else.where.test.
long DNAME ${"x".repeat(63)}.${"y".repeat(63)}.${"z".repeat(50)}.
web HTTPS 1 . alpn="h2,h3"
`;
const zonePath = join(folder, "zone");
writeFileSync(zonePath, ZONE);

test("file: answers, aliases, wildcards, empty nodes, delegations, negative TTL", async () => {
  const { ask } = testResolver(`example.org:53 {\n file ${zonePath}\n}\n`);
  assert.deepEqual(answers(await ask("WWW.example.org.")), [
    "WWW.example.org. 3600 CNAME web.example.org.",
    "web.example.org. 3600 A 192.0.2.2",
  ]);
  assert.deepEqual(answers(await ask("x.wild.example.org.", "TXT")), [
    'x.wild.example.org. 3600 TXT "any ; thing" "second"',
  ]);
  const ent = await ask("below.ent.example.org.");
  assert.deepEqual([ent.rcode, ent.authorities[0]?.ttl], [RCODE.NOERROR, 60]);
  assert.equal((await ask("nope.example.org.")).rcode, RCODE.NXDOMAIN);
  const referral = await ask("a.b.sub.example.org.");
  assert.deepEqual(
    [referral.authoritative, referral.authorities.map(text), referral.additionals.map(text)],
    [false, ["sub.example.org. 3600 NS ns.sub.example.org."], ["ns.sub.example.org. 3600 A 192.0.2.9"]],
  );
  assert.deepEqual((await ask("mail.example.org.", "MX")).additionals.length, 2);
  assert.equal((await ask("self.example.org.")).rcode, RCODE.SERVFAIL);
  const outside = await ask("out.example.org.");
  assert.deepEqual([outside.rcode, answers(outside)], [0, ["out.example.org. 3600 CNAME else.where.test."]]);
});

test("file: DNAME moves what is below it (RFC 6672)", async () => {
  const { ask } = testResolver(`example.org:53 {\n file ${zonePath}\n}\n`);
  assert.deepEqual(answers(await ask("A.old.example.org.")), [
    "old.example.org. 3600 DNAME new.example.org.",
    "A.old.example.org. 3600 CNAME A.new.example.org.",
    "A.new.example.org. 3600 A 192.0.2.7",
  ]);
  assert.deepEqual(answers(await ask("x.gone.example.org.", "CNAME")), [
    "gone.example.org. 3600 DNAME else.where.test.",
    "x.gone.example.org. 3600 CNAME x.else.where.test.",
  ]);
  assert.equal((await ask("x.gone.example.org.")).answers.length, 2, "leads out of the zone");
  const missing = await ask("b.old.example.org.");
  assert.deepEqual([missing.rcode, missing.answers.length], [RCODE.NXDOMAIN, 2]);
  assert.equal((await ask("old.example.org.")).rcode, RCODE.NOERROR, "its own name stays");
  assert.equal((await ask(`${"w".repeat(63)}.${"v".repeat(30)}.long.example.org.`)).rcode, RCODE.YXDOMAIN);
  assert.equal((await ask("web.example.org.", "HTTPS")).answers.length, 1);
});

test("file: one that is missing may come later, names are SERVFAIL until then", async () => {
  const { ask, lines } = testResolver("e.:53 {\n file /nowhere\n}");
  assert.equal((await ask("a.e.")).rcode, RCODE.SERVFAIL);
  assert.ok(lines.some((line) => /plugin\/file: .*ENOENT.*looking again/.test(line)));
});

test("file: a bad zone is refused with its line", () => {
  const bad = join(folder, "bad");
  writeFileSync(bad, "@ SOA a b 1 2 3 4 5\nx A 1.2.3\n");
  assert.throws(() => testResolver(`e.:53 {\n file ${bad}\n}`), /Corefile:2: file: .*bad:2: no record/);
  writeFileSync(bad, "x A 192.0.2.1\n");
  assert.throws(() => testResolver(`e.:53 {\n file ${bad}\n}`), /has no SOA for e\./);
  assert.throws(() => testResolver("e.:53 {\n file /nowhere {\n reload 0\n }\n}"), /ENOENT/);
  assert.deepEqual(parseZoneFile("$INCLUDE x", "e."), {
    kind: "bad",
    line: 1,
    reason: "$INCLUDE is not supported",
  });
});

const HOSTS = "hosts /nowhere {\n 192.0.2.7 new.test web.default.svc.test\n ttl 1000\n }";

test("rewrite: exact puts the asked name back, regex with groups, suffix with answer auto", async () => {
  const { ask } = testResolver(`.:53 {
    rewrite name old.test new.test
    rewrite stop {
      name regex (.*)[.]coffee[.]$ {1}.default.svc.test
      answer auto
    }
    rewrite name suffix .lan .default.svc.test answer name (.*)[.]default[.]svc[.]test {1}.lan
    ${HOSTS}
  }`);
  assert.deepEqual(answers(await ask("Old.test.")), ["Old.test. 1000 A 192.0.2.7"]);
  assert.deepEqual(answers(await ask("web.coffee.")), ["web.coffee. 1000 A 192.0.2.7"]);
  assert.deepEqual(answers(await ask("web.lan.")), ["web.lan. 1000 A 192.0.2.7"]);
});

test("rewrite: types, TTLs, codes; continue goes on", async () => {
  const { ask } = testResolver(`.:53 {
    rewrite continue ttl suffix .test 30-300
    rewrite continue rcode exact gone.test SERVFAIL NOERROR
    rewrite type ANY A
    template ANY ANY gone.test other.test {
      rcode SERVFAIL
    }
    ${HOSTS}
  }`);
  assert.deepEqual(answers(await ask("new.test.", "ANY")), ["new.test. 300 A 192.0.2.7"]);
  assert.equal((await ask("gone.test.")).rcode, RCODE.NOERROR);
  assert.equal((await ask("other.test.")).rcode, RCODE.SERVFAIL);
});

const badRewrites = [
  "name a",
  "nome a b",
  "type A",
  "ttl x 5-3",
  "name regex ( x",
  "rcode a B C",
  "edns0 local set",
  "name a b answer maybe",
];
for (const line of badRewrites) {
  test(`rewrite refuses: ${line}`, () =>
    assert.throws(() => testResolver(`.:53 {\n rewrite ${line}\n}`), /Corefile:2: rewrite: /));
}

test("template: groups, codes, fallthrough", async () => {
  const { ask } = testResolver(`.:53 {
    template IN A ip.test {
      match "^(?P<a>[0-9]+)-(?P<b>[0-9]+)-0-1[.]ip[.]test[.]$"
      answer "{{ .Name }} 60 IN A {{ .Group.a }}.{{ index .Match 2 }}.0.1"
      fallthrough b.ip.test
    }
    template ANY ANY nx.test {
      rcode NXDOMAIN
      authority "{{ .Zone }} 60 IN SOA ns.test. a.test. 1 2 3 4 5"
    }
    whoami
  }`);
  assert.deepEqual(answers(await ask("10-7-0-1.ip.test.")), ["10-7-0-1.ip.test. 60 A 10.7.0.1"]);
  assert.equal((await ask("999-7-0-1.ip.test.")).rcode, RCODE.SERVFAIL);
  assert.equal((await ask("zzz.ip.test.")).rcode, RCODE.SERVFAIL);
  assert.equal((await ask("a.b.ip.test.")).additionals.length, 2);
  const nx = await ask("x.nx.test.", "MX");
  assert.deepEqual(
    [nx.rcode, nx.authorities.map(text)[0]?.startsWith("nx.test. 60 SOA")],
    [RCODE.NXDOMAIN, true],
  );
  assert.throws(
    () => testResolver('.:53 {\n template IN A {\n answer "{{ .Nope }}"\n }\n}'),
    /Corefile:3: answer: \.Nope is not known; allowed: \.Zone/,
  );
});

test("autopath: the first name of the list that exists, as an alias; unknown clients walk themselves", async () => {
  const runtime = testRuntime();
  const meta = { uid: "", creationTimestampMs: 0, labels: {}, annotations: {} };
  const batch = { revision: 1n, snapshot: true, origin: "live", changedAtMs: 0 } as const;
  runtime.cluster.begin(batch);
  runtime.cluster.upsert({ kind: "Namespace", meta: { ...meta, namespace: "", name: "shop" } });
  runtime.cluster.upsert({
    kind: "Pod",
    meta: { ...meta, namespace: "shop", name: "p" },
    podIPs: [parseIp("10.244.0.5") ?? assert.fail()],
    phase: "Running",
    hostNetwork: false,
  });
  runtime.cluster.commit(batch);
  const corefile = `.:53 {
    autopath @kubernetes
    kubernetes cluster.local {
      pods verified
    }
    file ${join(folder, "outside")} outside.test
  }`;
  writeFileSync(join(folder, "outside"), "@ SOA a b 1 2 3 4 5\nwww A 192.0.2.4\n");
  const { send, instance } = testResolver(corefile, runtime);
  const query = encodeMessage(queryMessage("WWW.outside.test.shop.svc.cluster.local."));
  const known = await send(query, { address: "10.244.0.5" });
  assert.deepEqual(known?.answers.map(text), [
    "WWW.outside.test.shop.svc.cluster.local. 3600 CNAME WWW.outside.test.",
    "WWW.outside.test. 3600 A 192.0.2.4",
  ]);
  assert.equal((await send(query, { address: "10.244.0.6" }))?.rcode, RCODE.NXDOMAIN);
  const mx = encodeMessage(queryMessage("www.outside.test.shop.svc.cluster.local.", "MX"));
  const empty = await send(mx, { address: "10.244.0.5" });
  assert.deepEqual([empty?.rcode, empty?.answers.length], [RCODE.NOERROR, 1], "other types walk too");
  assert.equal(instance.settings.wantsPods, true);
});
