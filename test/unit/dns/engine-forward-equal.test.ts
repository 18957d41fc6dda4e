/**
 * What an upstream says reaches clients alike whether the native engine forwards or the chain: random replies, compressed or
 * with names written in full. The seed is in each failure.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeMessage } from "../../../src/codec/dns/decode.ts";
import { encodeMessage } from "../../../src/codec/dns/encode.ts";
import type { DnsMessage, RecordData, ResourceRecord } from "../../../src/codec/dns/message.ts";
import { formatData } from "../../../src/codec/dns/text.ts";
import { queryMessage } from "../../support/dns-query.ts";
import { forwardLab, stub } from "./forward-lab.ts";
import { randomFrom } from "./random-cluster.ts";

const SEED = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1e9));
const ROUNDS = 250;
const HEADER_BYTES = 12;
const TYPES = ["A", "A", "AAAA", "CNAME", "MX", "TXT", "SRV", "NS", "PTR", "SOA", "HTTPS", "CAA", "NAPTR"];

type Random = () => number;

function fractions(seed: number): Random {
  const random = randomFrom(seed);
  return () => random(1e6) / 1e6;
}

const pick = <T>(random: Random, all: readonly T[]): T =>
  all[Math.floor(random() * all.length)] ?? assert.fail();

/** Below the question, above it, or elsewhere. */
function someName(random: Random, asked: string): string {
  const parent = asked.slice(asked.indexOf(".") + 1);
  const all = [asked, asked, parent, `mail.${parent}`, `x.${asked}`, "other.Example.ORG."];
  return pick(random, all);
}

function someData(random: Random, type: string, asked: string): RecordData {
  const name = (): string => someName(random, asked);
  const octet = Math.floor(random() * 250) + 1;
  switch (type) {
    case "A":
      return { kind: "address", address: `198.51.100.${octet}` as never };
    case "AAAA":
      return { kind: "address", address: `2001:db8::${octet}` as never };
    case "MX":
      return { kind: "preference", preference: octet, name: name() };
    case "TXT":
      return { kind: "texts", texts: ["some text", "more"].slice(0, octet % 3) };
    case "SRV":
      return { kind: "srv", priority: 0, weight: 1, port: 80, target: name() };
    case "SOA":
      return {
        kind: "soa",
        primary: name(),
        mailbox: `host.${name()}`,
        ...{ serial: 1, refresh: 2, retry: 3, expire: 4, minimum: 5 },
      };
    case "CAA":
      return { kind: "caa", flags: 0, tag: "issue", value: "ca.example" };
    case "NAPTR":
      return {
        kind: "naptr",
        order: 1,
        preference: 2,
        ...{ flags: "s", services: "x", regexp: "", replacement: name() },
      };
    case "HTTPS":
      return { kind: "opaque", bytes: Buffer.from("0001000001000302683200", "hex") };
    default:
      return { kind: "name", name: name() };
  }
}

const NUMBERS: Readonly<Record<string, number>> = {
  ...{
    A: 1,
    NS: 2,
    CNAME: 5,
    SOA: 6,
    PTR: 12,
    MX: 15,
    TXT: 16,
    AAAA: 28,
    SRV: 33,
    NAPTR: 35,
    HTTPS: 65,
    CAA: 257,
  },
};

function records(random: Random, asked: string, most: number): ResourceRecord[] {
  const first = pick(random, TYPES);
  return Array.from({ length: Math.floor(random() * (most + 1)) }, () => {
    const type = random() < 0.7 ? first : pick(random, TYPES);
    const ttl = pick(random, [0, 5, 300, 0x7fff_ffff]);
    const data = someData(random, type, asked);
    return { name: someName(random, asked), type: NUMBERS[type] ?? 1, class: 1, ttl, data };
  });
}

/** By the name in small letters: both resolvers get the same for one question, whatever letters they send. */
function someReply(query: DnsMessage, seed: number): Buffer {
  const asked = query.questions[0]?.name ?? "";
  const random = fractions(seed);
  const reply: DnsMessage = {
    ...query,
    isResponse: true,
    recursionAvailable: random() < 0.8,
    authoritative: random() < 0.3,
    authenticData: random() < 0.3,
    truncated: random() < 0.05,
    rcode: pick(random, [0, 0, 0, 0, 0, 2, 3, 3, 5]),
    answers: records(random, asked, 5),
    authorities: records(random, asked, 2),
    additionals: records(random, asked, 3),
  };
  const { edns, ...rest } = reply;
  const whole = encodeMessage(random() < 0.2 ? rest : { ...rest, ...(edns === undefined ? {} : { edns }) });
  return random() < 0.3 ? expanded(whole, query) : whole;
}

/** The same answer with pointers of its owners replaced by the whole question. */
function expanded(packet: Buffer, query: DnsMessage): Buffer {
  const plain = encodeMessage(query);
  const end = plain.indexOf(0, HEADER_BYTES) + 1;
  const name = plain.subarray(HEADER_BYTES, end);
  const only = packet.readUInt16BE(6) === 1 && packet.readUInt16BE(8) + packet.readUInt16BE(10) === 0;
  if (!only || packet.readUInt16BE(end + 4) !== 0xc00c) return packet;
  const tail = packet.subarray(end + 6);
  const isPlain = [1, 16, 28].includes(tail.readUInt16BE(0));
  return isPlain ? Buffer.concat([packet.subarray(0, end + 4), name, tail]) : packet;
}

function describe(message: DnsMessage): string {
  const list = (all: readonly ResourceRecord[]) =>
    all.map(({ name, ttl, type, data }) => `${name} ${ttl} ${type} ${formatData(data)}`).sort();
  const { answers, authorities, additionals, id: _, ...rest } = message;
  return JSON.stringify({
    ...rest,
    answers: list(answers),
    authorities: list(authorities),
    additionals: list(additionals),
  });
}

for (const lines of ["", "loadbalance\n", "cache 60\n loadbalance\n"]) {
  test(`replies are the same with and without the engine: ${lines.trim() || "forward alone"}`, async () => {
    const seeds = new Map<string, number>();
    const up = await stub((query) => {
      const name = query.questions[0]?.name.toLowerCase() ?? "";
      return someReply(query, seeds.get(name) ?? 0);
    });
    const corefile = `${lines} forward . 127.0.0.1:${up.port}`;
    const native = await forwardLab(corefile);
    const chain = await forwardLab(corefile, false);
    const random = fractions(SEED);
    try {
      for (let i = 0; i < ROUNDS; i++) {
        const name = pick(random, [
          `Www.n${i}.Example.net.`,
          `n${i}.example.net.`,
          `N${i}.net.`,
          `a.b.c.d${i}.ExAmPlE.`,
        ]);
        seeds.set(name.toLowerCase(), SEED + i);
        const edns = {
          udpBytes: pick(random, [512, 1232, 4096]),
          version: 0,
          dnssecOk: random() < 0.5,
          options: [],
        };
        const change = {
          recursionDesired: random() < 0.9,
          checkingDisabled: random() < 0.1,
          authenticData: random() < 0.2,
          ...(random() < 0.7 ? { edns } : {}),
        };
        const type = pick(random, ["A", "AAAA", "MX", "TXT", "SRV", "PTR", "HTTPS", "SOA"]);
        const [one, other] = [await native.ask(name, type, change), await chain.ask(name, type, change)];
        assert.equal(describe(one), describe(other), `SEED=${SEED}, round ${i}: ${name} ${type}`);
      }
      const forwarded = await native.metric(/^nodeplane_dns_engine_forwarded_total (\d+)$/m);
      assert.ok(forwarded > ROUNDS * 0.9, `${forwarded} of ${ROUNDS} were forwarded natively`);
      const answered = await native.metric(/^nodeplane_dns_engine_answers_total (\d+)$/m);
      if (!lines.includes("cache")) assert.ok(answered > ROUNDS * 0.2, `${answered} answered natively`);
      // Each question went up once a resolver, but for cut replies and letters.
      assert.ok(up.asked.length < ROUNDS * 2.4, `${up.asked.length} queries`);
    } finally {
      await native.stop();
      await chain.stop();
      up.close();
    }
  });
}

test("what is written in full is read as it should be", () => {
  const query = queryMessage("Www.Example.net.");
  const data = someData(fractions(1), "A", "");
  const answers = [{ name: "Www.Example.net.", type: 1, class: 1, ttl: 5, data }];
  const whole = encodeMessage({ ...query, isResponse: true, answers });
  const long = expanded(whole, query);
  assert.ok(long.length > whole.length);
  const decoded = decodeMessage(long);
  assert.ok(decoded.kind === "message" && decoded.message.answers[0]?.name === "Www.Example.net.");
});
