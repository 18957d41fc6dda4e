/** `rewrite`: options for upstreams, other targets for aliases, asked names put back. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { suite, test } from "node:test";
import { decodeMessage } from "../../../src/codec/dns/decode.ts";
import { encodeMessage } from "../../../src/codec/dns/encode.ts";
import type { DnsMessage, EdnsOption } from "../../../src/codec/dns/message.ts";
import { formatData } from "../../../src/codec/dns/text.ts";
import { queryMessage } from "../../support/dns-query.ts";
import { testResolver } from "./support.ts";

/** What reaches an upstream for a query that carries `options`. */
async function upstreamSees(
  rules: string,
  options: readonly EdnsOption[] | undefined,
  address = "192.0.2.9",
): Promise<readonly (readonly [number, string])[] | undefined> {
  const upstream = createSocket("udp4");
  let seen: DnsMessage | undefined;
  upstream.on("message", (packet, from) => {
    const decoded = decodeMessage(packet);
    if (decoded.kind !== "message") return;
    seen = decoded.message;
    upstream.send(encodeMessage({ ...decoded.message, isResponse: true }), from.port, from.address);
  });
  await new Promise<void>((resolve) => upstream.bind(0, "127.0.0.1", resolve));
  const resolver = testResolver(
    `.:53 {\n metadata\n view v {\n expr true\n }\n${rules}\n forward . 127.0.0.1:${upstream.address().port}\n}`,
  );
  const edns =
    options === undefined ? {} : { edns: { udpBytes: 1232, version: 0, dnssecOk: false, options } };
  const reply = await resolver.send(encodeMessage({ ...queryMessage("a.example.", "AAAA"), ...edns }), {
    address,
  });
  upstream.close();
  assert.deepEqual(reply?.edns?.options, options === undefined ? undefined : []);
  return seen?.edns?.options.map(({ code, bytes }) => [code, Buffer.from(bytes).toString("hex")] as const);
}

const local = (code: number, text: string): EdnsOption => ({ code, bytes: Buffer.from(text) });
const hex = (text: string): string => Buffer.from(text).toString("hex");

suite("edns0", () => {
  const cases: readonly (readonly [string, string, readonly (readonly [number, string])[]])[] = [
    ["set hexadecimal", "rewrite edns0 local set 0xffee 0x61626364", [[0xffee, "61626364"]]],
    ["set text", "rewrite edns0 local set 65518 abcd revert", [[0xffee, "61626364"]]],
    ["client's address", "rewrite edns0 local set 0xffee {client_ip}", [[0xffee, "c0000209"]]],
    [
      "name and type",
      "rewrite continue edns0 local set 1 {qname}\n rewrite edns0 local set 2 {qtype}",
      [
        [1, hex("a.example.")],
        [2, "001c"],
      ],
    ],
    [
      "ports and protocol",
      "rewrite continue edns0 local set 1 {server_port}\n rewrite edns0 local set 2 {protocol}",
      [
        [1, "0035"],
        [2, hex("udp")],
      ],
    ],
    ["metadata", "rewrite edns0 local set 0xffee {view/name}", [[0xffee, hex("v")]]],
    ["nsid", "rewrite edns0 nsid set", [[3, ""]]],
    ["subnet of IPv4", "rewrite edns0 subnet set 20 56", [[8, "00011400c00000"]]],
    ["replace without one", "rewrite edns0 local replace 0xffee x", []],
    ["append", "rewrite edns0 local append 0xffee x", [[0xffee, "78"]]],
    ["set, then unset", "rewrite continue edns0 local set 0xffee x\n rewrite edns0 local unset 0xffee", []],
  ];
  for (const [title, rules, expected] of cases) {
    test(title, async () => assert.deepEqual(await upstreamSees(rules, []), expected));
  }

  test("the client's own options decide, and go no further", async () => {
    const options = [local(0xffee, "mine"), local(77, "other")];
    assert.deepEqual(await upstreamSees("rewrite edns0 local replace 0xffee x", options), [[0xffee, "78"]]);
    assert.deepEqual(await upstreamSees("rewrite edns0 local append 0xffee x", options), []);
  });

  test("subnet of IPv6, and a client without EDNS", async () => {
    const rule = "rewrite edns0 subnet set 24 36";
    assert.deepEqual(await upstreamSees(rule, [], "2001:db8:ffff::1"), [[8, "0002240020010db8f0"]]);
    assert.deepEqual(await upstreamSees(rule, undefined), [[8, "00011800c00002"]]);
  });

  for (const bad of [
    "local set x y",
    "local put 1 x",
    "subnet set 33 1",
    "subnet set 1",
    "cookie set",
    "local set 1 {nope}",
    "local set 1 0xabc",
  ]) {
    test(`refused: ${bad}`, () =>
      assert.throws(
        () => testResolver(`.:53 {\n rewrite edns0 ${bad}\n whoami\n}`),
        /Corefile:2: rewrite: edns0|form is/,
      ));
  }
});

suite("answers", () => {
  const zone = `template IN A shop.test {
      answer "{{ .Name }} 200 IN CNAME my.cdn.test."
    }
    template IN A cdn.test {
      answer "{{ .Name }} 300 IN A 20.2.0.1"
    }
    template IN A other.test {
      answer "{{ .Name }} 100 IN A 30.3.1.2"
    }
    template IN SRV prod.test {
      answer "{{ .Name }} 60 IN SRV 0 5 80 x.{{ .Name }}"
    }`;
  const ask = async (rules: string, name: string, type = "A") =>
    (await testResolver(`.:53 {\n ${rules}\n ${zone}\n}`).ask(name, type)).answers.map(
      (record) => `${record.name} ${record.ttl} ${formatData(record.data)}`,
    );

  test("cname: another target, and what that leads to", async () => {
    assert.deepEqual(await ask("rewrite cname suffix .cdn.test. .other.test.", "a.shop.test."), [
      "a.shop.test. 200 my.other.test.",
      "my.other.test. 100 30.3.1.2",
    ]);
    assert.deepEqual(await ask("rewrite cname exact no.test. x.test.", "a.shop.test."), [
      "a.shop.test. 200 my.cdn.test.",
      "my.cdn.test. 300 20.2.0.1",
    ]);
  });

  test("auto puts the asked name back into owners and values, below it too", async () => {
    const rule = "rewrite name regex ^(.*)[.]stage[.]test[.]$ {1}.prod.test. answer auto";
    assert.deepEqual(await ask(rule, "W.stage.test.", "SRV"), ["W.stage.test. 60 0 5 80 x.W.stage.test."]);
    const suffix = "rewrite name suffix .stage.test. .prod.test. answer auto";
    assert.deepEqual(await ask(suffix, "w.stage.test.", "SRV"), ["w.stage.test. 60 0 5 80 x.w.stage.test."]);
  });

  test("several answer rules, the word answer only once", async () => {
    const rule =
      "rewrite name regex ^w[.]stage[.]test[.]$ w.prod.test. answer name (.*)[.]prod[.]test[.] {1}.stage.test. value x[.](.*) y.{1}";
    assert.deepEqual(await ask(rule, "w.stage.test.", "SRV"), ["w.stage.test. 60 0 5 80 y.w.prod.test."]);
  });
});
