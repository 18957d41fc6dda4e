/** DNS cookies and TCP keepalive in replies. Vectors: RFC 9018 appendix A, SipHash's reference. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { encodeMessage } from "../../../src/codec/dns/encode.ts";
import type { DnsMessage, EdnsOption } from "../../../src/codec/dns/message.ts";
import type { Client } from "../../../src/dns/query.ts";
import { ServerCookies } from "../../../src/dns/server/cookies.ts";
import { sipHash24 } from "../../../src/dns/server/siphash.ts";
import { queryMessage } from "../../support/dns-query.ts";
import { type TestResolver, testResolver } from "./support.ts";

const hex = (text: string): Buffer => Buffer.from(text, "hex");

test("SipHash-2-4: the reference's vector and the empty text", () => {
  const key = hex("000102030405060708090a0b0c0d0e0f");
  assert.equal(sipHash24(key, hex("000102030405060708090a0b0c0d0e")).toString("hex"), "e545be4961ca29a1");
  assert.equal(sipHash24(key, Buffer.alloc(0)).toString("hex"), "310e0edd47db6f72");
});

suite("server cookies", () => {
  const secret = hex("e5e973e5a6b2a43f48e7dc849e37bfcf");
  const reply = (secretNow: Buffer, now: number, option: string, address: string): string => {
    const bytes = new ServerCookies(secretNow, () => now).reply(hex(option), address);
    return Buffer.from(bytes ?? []).toString("hex");
  };

  test("RFC 9018 A.1: a new cookie", () => {
    assert.equal(
      reply(secret, 1_559_731_985, "2464c4abcf10c957", "198.51.100.100"),
      "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
    );
  });

  test("RFC 9018 A.2: the same client a little later keeps its cookie", () => {
    const cookie = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
    assert.equal(reply(secret, 1_559_731_985 + 1_800, cookie, "198.51.100.100"), cookie);
    assert.notEqual(reply(secret, 1_559_731_985 + 1_801, cookie, "198.51.100.100"), cookie);
    assert.notEqual(reply(secret, 1_559_731_985 - 301, cookie, "198.51.100.100"), cookie);
    assert.notEqual(reply(secret, 1_559_731_985, cookie, "198.51.100.101"), cookie);
  });

  test("RFC 9018 A.3: a cookie with reserved octets that is too old is renewed", () => {
    assert.equal(
      reply(secret, 1_559_734_700, "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", "203.0.113.203"),
      "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
    );
  });

  test("RFC 9018 A.4: IPv6, made with another secret", () => {
    const next = hex("445536bcd2513298075a5d379663c962");
    assert.equal(
      reply(
        next,
        1_559_741_961,
        "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
        "2001:db8:220:1:59de:d0f4:8769:82b8",
      ),
      "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
    );
  });
});

suite("options of replies", () => {
  const block = '.:53 {\n template IN A example.org {\n answer "{{ .Name }} 60 IN A 192.0.2.1"\n }\n}\n';
  const withOptions = (options: readonly EdnsOption[]): DnsMessage => ({
    ...queryMessage("a.example.org."),
    edns: { udpBytes: 1232, version: 0, dnssecOk: false, options },
  });
  const ask = async (
    resolver: TestResolver,
    options: readonly EdnsOption[],
    client: Partial<Client> = {},
  ): Promise<DnsMessage> => {
    const reply = await resolver.send(encodeMessage(withOptions(options)), client);
    assert.ok(reply !== undefined);
    return reply;
  };
  const cookie = (bytes: Buffer): EdnsOption => ({ code: 10, bytes });
  const keepalive: EdnsOption = { code: 11, bytes: Buffer.alloc(0) };

  test("a client cookie is answered with a server cookie, which is then valid", async () => {
    const resolver = testResolver(block);
    const first = await ask(resolver, [cookie(hex("0011223344556677"))]);
    assert.equal(first.rcode, 0);
    assert.equal(first.answers.length, 1);
    const [option] = first.edns?.options ?? [];
    assert.equal(option?.code, 10);
    assert.equal(option.bytes.length, 24);
    const again = await ask(resolver, [cookie(Buffer.from(option.bytes))]);
    assert.deepEqual(Buffer.from(again.edns?.options[0]?.bytes ?? []), Buffer.from(option.bytes));
    resolver.clock.ms += 3_600_000;
    const later = await ask(resolver, [cookie(Buffer.from(option.bytes))]);
    assert.notDeepEqual(Buffer.from(later.edns?.options[0]?.bytes ?? []), Buffer.from(option.bytes));
  });

  for (const length of [0, 7, 9, 15, 41]) {
    test(`a cookie of ${length} octets is malformed: FORMERR`, async () => {
      const reply = await ask(testResolver(block), [cookie(Buffer.alloc(length))]);
      assert.equal(reply.rcode, 1);
      assert.equal(reply.answers.length, 0);
    });
  }

  test("keepalive is answered over TCP and TLS with the idle time in tenths of a second, over UDP ignored", async () => {
    const resolver = testResolver(block);
    for (const transport of ["tcp", "tls"] as const) {
      const { edns } = await ask(resolver, [keepalive], { transport, idleTimeoutMs: 10_000 });
      assert.deepEqual(
        edns?.options.map(({ code, bytes }) => [code, Buffer.from(bytes).toString("hex")]),
        [[11, "0064"]],
      );
    }
    for (const transport of ["udp", "https"] as const) {
      assert.deepEqual((await ask(resolver, [keepalive], { transport })).edns?.options, []);
    }
  });

  test("other options are not echoed, and who sent no OPT gets none", async () => {
    const resolver = testResolver(block);
    const others = [3, 8, 12, 65_001].map((code) => ({ code, bytes: Buffer.alloc(4) }));
    assert.deepEqual((await ask(resolver, others)).edns?.options, []);
    assert.equal((await resolver.ask("a.example.org.")).edns, undefined);
  });
});
