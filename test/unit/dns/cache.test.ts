/** The cache with time in the test's hands, in front of a chain that counts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CLASS, RCODE, TYPE } from "../../../src/codec/dns/constants.ts";
import type { ResourceRecord } from "../../../src/codec/dns/message.ts";
import { MetricSet } from "../../../src/dns/metrics/metric-set.ts";
import type { Outcome, Plugin, Rest, SetupContext } from "../../../src/dns/plugin.ts";
import { cache } from "../../../src/dns/plugins/cache/setup.ts";
import { type DnsQuery, ownQuery, type ReplyParts, replyTo } from "../../../src/dns/query.ts";
import { parseIp } from "../../../src/model/ip.ts";
import { parse, testRuntime } from "./support.ts";

const address = parseIp("192.0.2.1") ?? assert.fail();
const a = (name: string, ttl: number): ResourceRecord => ({
  name,
  type: TYPE.A,
  class: CLASS.IN,
  ttl,
  data: { kind: "address", address },
});
const soa = (ttl: number, minimum: number): ResourceRecord => ({
  name: "example.",
  type: TYPE.SOA,
  class: CLASS.IN,
  ttl,
  data: { kind: "soa", primary: "n.", mailbox: "m.", serial: 1, refresh: 1, retry: 1, expire: 1, minimum },
});

interface World {
  readonly ask: (name?: string, client?: DnsQuery) => Promise<Outcome & { kind: "answer" }>;
  readonly pass: (seconds: number) => void;
  /** What the chain behind the cache says from now on. */
  reply: (query: DnsQuery) => ReplyParts | Promise<ReplyParts>;
  asked: number;
}

function world(options: string): World {
  const runtime = { ...testRuntime(), metrics: new MetricSet() };
  const [block] = parse(`.:53 {\n cache ${options}\n}`);
  const context = { runtime, zones: ["."] } as unknown as SetupContext;
  const plugin: Plugin = cache.setup(block?.directives ?? [], context)[0] ?? assert.fail();
  const state: World = {
    asked: 0,
    reply: (query) => ({ answers: [a(query.name, 100)] }),
    pass: (seconds) => {
      runtime.clock.ms += seconds * 1000;
    },
    ask: async (name = "www.example.") => {
      const query = ownQuery({ name, type: TYPE.A, class: CLASS.IN }, { server: "", zone: ".", view: "" });
      const outcome = await plugin.handle(query, rest);
      return outcome.kind === "answer" ? outcome : assert.fail(outcome.kind);
    },
  };
  const rest: Rest = (query) => {
    state.asked++;
    const done = (parts: ReplyParts): Outcome => ({
      kind: "answer",
      by: "forward",
      message: replyTo(query, parts),
    });
    const parts = state.reply(query);
    return parts instanceof Promise ? parts.then(done) : done(parts);
  };
  return state;
}

const ttls = (outcome: Outcome & { kind: "answer" }) => outcome.message.answers.map((record) => record.ttl);

test("a second question is answered from the cache, with the time that is left and its own spelling", async () => {
  const w = world("");
  await w.ask("www.example.");
  w.pass(40);
  const second = await w.ask("WWW.example.");
  assert.deepEqual([w.asked, ttls(second), second.message.answers[0]?.name], [1, [60], "WWW.example."]);
  w.pass(61);
  await w.ask();
  assert.equal(w.asked, 2);
});

test("records of one answer keep their own TTLs; the shortest decides when it is asked again", async () => {
  const w = world("");
  w.reply = (query) => ({ answers: [a(query.name, 100), a("other.example.", 20)] });
  await w.ask();
  w.pass(15);
  assert.deepEqual(ttls(await w.ask()), [85, 5]);
  w.pass(6);
  await w.ask();
  assert.equal(w.asked, 2);
});

test("TTL 0 is never kept, TTLs above the limit are cut", async () => {
  const w = world("30");
  w.reply = (query) => ({ answers: [a(query.name, 0)] });
  await w.ask("zero.example.");
  await w.ask("zero.example.");
  assert.equal(w.asked, 2);
  w.reply = (query) => ({ answers: [a(query.name, 900)] });
  assert.deepEqual(ttls(await w.ask("long.example.")), [30]);
});

test("negative replies live for the smaller of the SOA's TTL and minimum; without SOA not at all", async () => {
  const w = world("");
  w.reply = () => ({ rcode: RCODE.NXDOMAIN, authorities: [soa(100, 10)] });
  const first = await w.ask();
  assert.equal(first.message.authorities[0]?.ttl, 10);
  w.pass(9);
  assert.equal((await w.ask()).message.rcode, RCODE.NXDOMAIN);
  assert.equal(w.asked, 1);
  w.pass(2);
  await w.ask();
  assert.equal(w.asked, 2);
  w.reply = () => ({ rcode: RCODE.NXDOMAIN });
  await w.ask("none.example.");
  await w.ask("none.example.");
  assert.equal(w.asked, 4);
});

test("SERVFAIL is kept for a short time, truncated replies never", async () => {
  const w = world("");
  w.reply = () => ({ rcode: RCODE.SERVFAIL });
  await w.ask();
  await w.ask();
  w.pass(6);
  await w.ask();
  assert.equal(w.asked, 2);
  w.reply = (query) => ({ truncated: true, answers: [a(query.name, 100)] });
  await w.ask("big.example.");
  await w.ask("big.example.");
  assert.equal(w.asked, 4);
});

test("questions that wait for the same reply are asked once", async () => {
  const w = world("");
  const gate = Promise.withResolvers<ReplyParts>();
  w.reply = () => gate.promise;
  const waiting = [w.ask("www.example."), w.ask("WWW.example."), w.ask("www.example.")];
  gate.resolve({ answers: [a("www.example.", 100)] });
  const replies = await Promise.all(waiting);
  assert.equal(w.asked, 1);
  assert.equal(replies[1]?.message.answers[0]?.name, "WWW.example.");
});

test("a full cache drops its oldest entry", async () => {
  const w = world("{\n success 2\n }");
  for (const name of ["a.", "b.", "c.", "b.", "c."]) await w.ask(name);
  assert.equal(w.asked, 3);
  await w.ask("a.");
  assert.equal(w.asked, 4);
});

test("what is kept comes back as it was: spelling of other names, kinds of records, flags", async () => {
  const w = world("");
  const name = "Www.Example.";
  const cname = {
    name,
    type: TYPE.CNAME,
    class: CLASS.IN,
    ttl: 60,
    data: { kind: "name", name: "aLias.Example." },
  };
  const opaque = { kind: "opaque", bytes: Uint8Array.of(1, 0, 255, 128) };
  w.reply = () => ({
    authoritative: true,
    answers: [cname as ResourceRecord, a("aLias.Example.", 60)],
    authorities: [soa(60, 60)],
    additionals: [
      { name: "X.", type: 65_280, class: CLASS.IN, ttl: 60, data: opaque as ResourceRecord["data"] },
    ],
  });
  const first = await w.ask(name);
  const kept = await w.ask(name);
  assert.deepEqual([first.by, kept.by, w.asked], ["forward", "cache", 1]);
  assert.deepEqual(kept.message, first.message);
});

test("a reply that cannot be written as octets is not kept", async () => {
  const w = world("");
  w.reply = () => ({ answers: [a("no-dot-at-the-end", 60)] });
  await w.ask();
  await w.ask();
  assert.equal(w.asked, 2);
});

test("zones may be left out", async () => {
  const w = world("{\n disable success example\n disable denial example\n }");
  await w.ask();
  await w.ask();
  assert.equal(w.asked, 2);
});

test("stale answers are served with their own TTL while a fresh one is fetched", async () => {
  const w = world("{\n serve_stale 1h immediate 7s\n }");
  await w.ask();
  w.pass(200);
  assert.deepEqual([ttls(await w.ask()), w.asked], [[7], 2]);
  assert.deepEqual(ttls(await w.ask()), [100]);
  w.pass(100 + 3601);
  await w.ask();
  assert.equal(w.asked, 3);
});

test("verify asks first and falls back to the stale answer when that fails", async () => {
  const w = world("{\n serve_stale 1h verify 50ms\n }");
  await w.ask();
  w.pass(200);
  w.reply = () => ({ rcode: RCODE.SERVFAIL });
  assert.equal((await w.ask()).message.rcode, RCODE.NOERROR);
  assert.equal((await w.ask()).message.rcode, RCODE.NOERROR);
});

test("entries that are asked for often are renewed before their end", async () => {
  const w = world("{\n prefetch 2 1m 10%\n }");
  await w.ask();
  w.pass(92);
  await w.ask();
  assert.equal(w.asked, 1);
  await w.ask();
  assert.equal(w.asked, 2);
});

test("a refresh that failed is not tried again before its time", async () => {
  const w = world("{\n serve_stale 1h immediate 7s 30s\n servfail 0\n }");
  await w.ask();
  w.pass(200);
  w.reply = () => ({ rcode: RCODE.SERVFAIL });
  for (let i = 0; i < 5; i++) assert.deepEqual(ttls(await w.ask()), [7]);
  assert.equal(w.asked, 2);
  w.pass(31);
  await w.ask();
  assert.equal(w.asked, 3);
});

test("prefer_positive: a newer denial does not hide an answer that may still be served", async () => {
  for (const policy of ["", "serve_stale_policy prefer_positive\n"]) {
    const w = world(`{\n serve_stale 1h\n ${policy} }`);
    await w.ask();
    w.pass(200);
    w.reply = () => ({ rcode: RCODE.NXDOMAIN, authorities: [soa(60, 60)] });
    await w.ask();
    assert.equal((await w.ask()).message.rcode, policy === "" ? RCODE.NXDOMAIN : RCODE.NOERROR);
  }
});
