/** Text of records that are kept as octets; the octets were made by dnspython 2.9. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseType } from "../../../src/codec/dns/constants.ts";
import { parseData, splitWords } from "../../../src/codec/dns/text.ts";

const ROWS: readonly (readonly [string, string, string])[] = [
  [
    "DS",
    "60485 5 1 2BB183AF5F22588179A53B0A 98631FAD1A292118",
    "ec4505012bb183af5f22588179a53b0a98631fad1a292118",
  ],
  ["DNSKEY", "256 3 5 AQPSKmynfzW4kyBv015MUG2DeIQ3", "010003050103d22a6ca77f35b893206fd35e4c506d83788437"],
  ["SSHFP", "2 1 123456789abcdef67890123456789abcdef67890", "0201123456789abcdef67890123456789abcdef67890"],
  [
    "TLSA",
    "3 1 1 92003ba34942dc74152e2f2c408d29eca5a520e7f2e06bb944f4dca346baf63c",
    "03010192003ba34942dc74152e2f2c408d29eca5a520e7f2e06bb944f4dca346baf63c",
  ],
  [
    "URI",
    '10 1 "ftp://ftp1.example.com/public"',
    "000a00016674703a2f2f667470312e6578616d706c652e636f6d2f7075626c6963",
  ],
  [
    "HTTPS",
    '1 . alpn="h2,h3" ipv4hint=192.0.2.1,192.0.2.2',
    "0001000001000602683202683300040008c0000201c0000202",
  ],
  ["HTTPS", "0 svc.example.net.", "000003737663076578616d706c65036e657400"],
  [
    "SVCB",
    '16 foo.example.org. port=8443 mandatory=port ipv6hint="2001:db8::1" key667=hello',
    "001003666f6f076578616d706c65036f7267000000000200030003000220fb0006001020010db8000000000000000000000001029b000568656c6c6f",
  ],
];

function hexOf(type: string, text: string): string | undefined {
  const words = splitWords(text) ?? assert.fail(text);
  const data = parseData(parseType(type) ?? assert.fail(type), words, "example.org.");
  return data?.kind === "opaque" ? Buffer.from(data.bytes).toString("hex") : undefined;
}

for (const [type, text, hex] of ROWS) {
  test(`${type} ${text}`, () => assert.equal(hexOf(type, text), hex));
}

test("relative targets are below the origin", () => {
  assert.equal(hexOf("HTTPS", "1 www"), hexOf("HTTPS", "1 www.example.org."));
});

const NONSENSE: readonly (readonly [string, string])[] = [
  ["DS", "60485 5 1 2BB"],
  ["DS", "70000 5 1 2BB1"],
  ["DS", "60485 5 1"],
  ["DNSKEY", "256 3 5 A"],
  ["TLSA", "3 1 300 92"],
  ["URI", "10 1 a b"],
  ["HTTPS", "1"],
  ["HTTPS", "1 . alpn="],
  ["HTTPS", "1 . ipv4hint=2001:db8::1"],
  ["HTTPS", "1 . port=1 port=2"],
  ["HTTPS", "1 . nokey=1"],
  ["LOC", "42 21 54 N"],
];
for (const [type, text] of NONSENSE) {
  test(`no ${type}: ${text}`, () => assert.equal(hexOf(type, text), undefined));
}
