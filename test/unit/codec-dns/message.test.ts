/** DNS codec: round trip as a law, compression, truncation, and mutated packets that must neither throw nor hang. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { parseReverseName, reverseName, writeAddress } from "../../../src/codec/dns/address.ts";
import { CLASS, TYPE } from "../../../src/codec/dns/constants.ts";
import { decodeHeader, decodeMessage } from "../../../src/codec/dns/decode.ts";
import { encodeMessage } from "../../../src/codec/dns/encode.ts";
import { type DnsMessage, dataKind, type ResourceRecord } from "../../../src/codec/dns/message.ts";
import { escapeOctet, labelsOf, parseName } from "../../../src/codec/dns/name.ts";
import { formatData, parseData, splitWords } from "../../../src/codec/dns/text.ts";
import { ipFromBytes, ipToBytes } from "../../../src/model/ip.ts";
import { queryMessage } from "../../support/dns-query.ts";

const corpus = join(import.meta.dirname, "corpus");

const label = fc
  .array(
    fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 97, max: 122 }) }, fc.integer({ min: 0, max: 255 })),
    {
      minLength: 1,
      maxLength: 12,
    },
  )
  .map((octets) => octets.map(escapeOctet).join(""));
const name = fc
  .array(label, { maxLength: 6 })
  .map((labels) => (labels.length === 0 ? "." : `${labels.join(".")}.`));
const u16 = fc.integer({ min: 0, max: 65_535 });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const text = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
const address = (size: 4 | 16) =>
  fc.uint8Array({ minLength: size, maxLength: size }).map((bytes) => ipFromBytes(bytes) ?? assert.fail());

const typed: fc.Arbitrary<Pick<ResourceRecord, "type" | "data">> = fc.oneof(
  address(4).map((a) => ({ type: TYPE.A, data: { kind: "address", address: a } as const })),
  address(16).map((a) => ({ type: TYPE.AAAA, data: { kind: "address", address: a } as const })),
  fc
    .tuple(fc.constantFrom(TYPE.NS, TYPE.CNAME, TYPE.PTR, TYPE.DNAME), name)
    .map(([type, n]) => ({ type, data: { kind: "name", name: n } as const })),
  fc
    .tuple(fc.constantFrom(TYPE.MX, TYPE.AFSDB), u16, name)
    .map(([type, preference, n]) => ({ type, data: { kind: "preference", preference, name: n } as const })),
  fc.tuple(u16, u16, u16, name).map(([priority, weight, port, target]) => ({
    type: TYPE.SRV,
    data: { kind: "srv", priority, weight, port, target } as const,
  })),
  fc
    .tuple(fc.constantFrom(TYPE.TXT, TYPE.HINFO), fc.array(text, { minLength: 1, maxLength: 3 }))
    .map(([type, texts]) => ({ type, data: { kind: "texts", texts } as const })),
  fc.tuple(name, name, u32).map(([primary, mailbox, serial]) => ({
    type: TYPE.SOA,
    data: { kind: "soa", primary, mailbox, serial, refresh: 1, retry: 2, expire: 3, minimum: 4 } as const,
  })),
  fc.tuple(u16, text, name).map(([order, flags, replacement]) => ({
    type: TYPE.NAPTR,
    data: { kind: "naptr", order, preference: 7, flags, services: "x", regexp: "", replacement } as const,
  })),
  fc
    .tuple(fc.integer({ min: 0, max: 255 }), fc.constantFrom("issue", "iodef"), text)
    .map(([flags, tag, value]) => ({ type: TYPE.CAA, data: { kind: "caa", flags, tag, value } as const })),
  fc
    .tuple(fc.constantFrom(TYPE.HTTPS, TYPE.RRSIG, 65_280), fc.uint8Array({ minLength: 1, maxLength: 60 }))
    .map(([type, bytes]) => ({ type, data: { kind: "opaque", bytes } as const })),
);
const record: fc.Arbitrary<ResourceRecord> = fc
  .tuple(name, fc.integer({ min: 0, max: 0x7fff_ffff }), typed)
  .map(([owner, ttl, rest]) => ({ name: owner, class: CLASS.IN, ttl, ...rest }));
const message: fc.Arbitrary<DnsMessage> = fc.record(
  {
    id: u16,
    isResponse: fc.boolean(),
    opcode: fc.integer({ min: 0, max: 15 }),
    authoritative: fc.boolean(),
    truncated: fc.constant(false),
    recursionDesired: fc.boolean(),
    recursionAvailable: fc.boolean(),
    authenticData: fc.boolean(),
    checkingDisabled: fc.boolean(),
    rcode: fc.integer({ min: 0, max: 15 }),
    questions: fc.array(fc.record({ name, type: u16, class: u16 }), { maxLength: 2 }),
    answers: fc.array(record, { maxLength: 6 }),
    authorities: fc.array(record, { maxLength: 3 }),
    additionals: fc.array(record, { maxLength: 3 }),
    edns: fc.record({
      udpBytes: u16,
      version: fc.integer({ min: 0, max: 255 }),
      dnssecOk: fc.boolean(),
      options: fc.array(
        fc.record({ code: u16, bytes: fc.uint8Array({ maxLength: 9 }).map((b) => new Uint8Array(b)) }),
        { maxLength: 2 },
      ),
    }),
  },
  {
    requiredKeys: [
      "id",
      "isResponse",
      "opcode",
      "authoritative",
      "truncated",
      "recursionDesired",
      "recursionAvailable",
      "authenticData",
      "checkingDisabled",
      "rcode",
      "questions",
      "answers",
      "authorities",
      "additionals",
    ],
  },
);

function decoded(bytes: Uint8Array): DnsMessage {
  const result = decodeMessage(bytes);
  return result.kind === "message" ? result.message : assert.fail(result.reason);
}

test("decode undoes encode, spelling of names included", () => {
  fc.assert(
    fc.property(message, (value) => {
      assert.deepEqual(plain(decoded(encodeMessage(value))), plain(value));
    }),
    { numRuns: 300 },
  );
});

/** Buffers and plain byte arrays with the same octets are the same value. */
function plain(value: DnsMessage): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, part: unknown) =>
      part instanceof Uint8Array ? Array.from(part).join(" ") : part,
    ),
  );
}

test("a message cut to a size stays readable and says TC only for answer and authority", () => {
  fc.assert(
    fc.property(message, fc.integer({ min: 512, max: 900 }), (value, size) => {
      const bytes = encodeMessage(value, size);
      const cut = decoded(bytes);
      const isComplete =
        cut.answers.length === value.answers.length && cut.authorities.length === value.authorities.length;
      assert.equal(cut.truncated, !isComplete);
      if (value.questions.length === 0) assert.ok(bytes.length <= size);
    }),
    { numRuns: 200 },
  );
});

test("names repeat as pointers: 64 addresses of one name take 16 octets each", () => {
  const owner = "tall.borealis.svc.cluster.local.";
  const answers = Array.from({ length: 64 }, (_, i) => ({
    name: owner,
    type: TYPE.A,
    class: CLASS.IN,
    ttl: 5,
    data: { kind: "address", address: ipFromBytes(Uint8Array.of(10, 0, 0, i)) ?? assert.fail() } as const,
  }));
  const empty = decoded(encodeMessage(queryMessage(owner)));
  const bytes = encodeMessage({ ...empty, isResponse: true, answers });
  assert.equal(bytes.length, 12 + owner.length + 1 + 4 + 64 * 16);
});

const malformed: readonly { name: string; hex: string }[] = [
  { name: "pointer to itself", hex: "0001010000010000000000000c00c00010001".replace("0c00c", "c00c") },
  { name: "pointer forward", hex: "000101000001000000000000c02000010001" },
  { name: "two pointers in a ring", hex: "000101000001000000000000c00ec00c00010001" },
  { name: "label type 01", hex: "0001010000010000000000004161000001 0001".replace(" ", "") },
  { name: "label behind the end", hex: "0001010000010000000000003f61" },
  { name: "question without class", hex: "000101000001000000000000000001" },
  { name: "octets behind the end", hex: "00010100000100000000000000000100 01ff".replace(" ", "") },
  {
    name: "two OPT",
    hex: "00010100000100000000000200000100010000290200000000000000002902000000000000 00".replace(" ", ""),
  },
];
for (const row of malformed) {
  test(`malformed: ${row.name}`, () => {
    assert.equal(decodeMessage(Buffer.from(row.hex, "hex")).kind, "malformed");
  });
}

test("a name of 256 octets is refused, one of 255 is read", () => {
  const make = (labels: number[]) =>
    Buffer.concat([
      Buffer.from("000101000001000000000000", "hex"),
      ...labels.map((size) => Buffer.concat([Buffer.of(size), Buffer.alloc(size, "a")])),
      Buffer.from("0000010001", "hex"),
    ]);
  assert.equal(decodeMessage(make([63, 63, 63, 61])).kind, "message");
  assert.equal(decodeMessage(make([63, 63, 63, 62])).kind, "malformed");
});

test("mutated packets of the corpus never throw, and what is read can be written again", () => {
  const seed = Number(process.env["FUZZ_SEED"] ?? Date.now() % 1_000_000);
  const rounds = Number(process.env["FUZZ_ROUNDS"] ?? 3000);
  let state = seed || 1;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  const seeds = readdirSync(corpus).map((file) =>
    Buffer.from(readFileSync(join(corpus, file), "utf8").trim(), "hex"),
  );
  assert.ok(seeds.length >= 5);
  for (let round = 0; round < rounds; round++) {
    const bytes = Buffer.from(seeds[random(seeds.length)] ?? assert.fail());
    for (let n = random(6); n >= 0; n--) bytes[random(bytes.length)] = random(256);
    const packet = bytes.subarray(0, random(4) === 0 ? random(bytes.length) : bytes.length);
    try {
      decodeHeader(packet);
      const result = decodeMessage(packet);
      if (result.kind === "message") encodeMessage(result.message, 1232);
    } catch (error) {
      assert.fail(`seed ${seed} round ${round}: ${packet.toString("hex")}: ${String(error)}`);
    }
  }
});

test("record data as text and back", () => {
  fc.assert(
    fc.property(record, ({ type, data }) => {
      if (dataKind(type) === "opaque" && data.kind === "opaque" && data.bytes.length === 0) return;
      const words = splitWords(formatData(data)) ?? assert.fail();
      const again = parseData(type, words) ?? assert.fail(formatData(data));
      assert.equal(formatData(again), formatData(data));
    }),
    { numRuns: 300 },
  );
});

test("addresses: octets, reverse names", () => {
  fc.assert(
    fc.property(fc.oneof(address(4), address(16)), (value) => {
      const bytes = new Uint8Array(20);
      const end = writeAddress(value, bytes, 2);
      assert.deepEqual(bytes.slice(2, end), ipToBytes(value));
      assert.deepEqual(parseReverseName(reverseName(value)), { kind: "address", address: value });
    }),
    { numRuns: 500 },
  );
  assert.equal(parseReverseName("1.20.11.96.10.in-addr.arpa."), undefined);
  assert.equal(parseReverseName("300.1.in-addr.arpa."), undefined);
  assert.deepEqual(parseReverseName("96.10.in-addr.arpa."), { kind: "prefix", hex: "0a60", family: "ip" });
});

test("names: labels with escapes, absolute form", () => {
  assert.deepEqual(labelsOf("a\\.b.c."), ["a\\.b", "c"]);
  assert.equal(parseName("web.atlas"), "web.atlas.");
  assert.equal(parseName("a..b"), undefined);
  assert.equal(parseName(`${"a".repeat(64)}.x`), undefined);
  assert.equal(parseName("sp\\032ace.x."), "sp\\032ace.x.");
});
