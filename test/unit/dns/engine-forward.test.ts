/** Forwarding in the native engine: upstreams that fail, lie, are slow or return; what it must not do, and what it counts. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { test } from "node:test";
import { encodeMessage } from "../../../src/codec/dns/encode.ts";
import type { DnsMessage, RecordData } from "../../../src/codec/dns/message.ts";
import { freePort } from "../../support/free-port.ts";
import { until } from "../../support/until.ts";
import { type ForwardLab, forwardLab, type Stub, stub } from "./forward-lab.ts";

const ADDRESS = "198.51.100.7";
const FORWARDED = /^nodeplane_dns_engine_forwarded_total (\d+)$/m;
const ANSWERED = /^nodeplane_dns_engine_answers_total (\d+)$/m;

function reply(query: DnsMessage, change: Partial<DnsMessage> = {}): Buffer {
  return encodeMessage({ ...query, isResponse: true, ...change });
}

/** One address for the name in the letters of the query. */
function addressed(query: DnsMessage, address = ADDRESS, ttl = 300): Buffer {
  const data = { kind: "address", address } as RecordData;
  return reply(query, { answers: [{ name: query.questions[0]?.name ?? "", type: 1, class: 1, ttl, data }] });
}

function addresses(message: DnsMessage): readonly string[] {
  return message.answers.flatMap(({ data }) => (data.kind === "address" ? [data.address] : []));
}

async function withLab(
  stubs: readonly Stub[],
  lines: string,
  body: (lab: ForwardLab) => Promise<void>,
): Promise<void> {
  const lab = await forwardLab(lines);
  try {
    await body(lab);
  } finally {
    await lab.stop();
    for (const one of stubs) one.close();
  }
}

const to = (...stubs: readonly Stub[]): string => stubs.map(({ port }) => `127.0.0.1:${port}`).join(" ");

test("questions go up with random identifiers, ports and letters, and come back in the client's", async () => {
  const up = await stub((query) => addressed(query));
  await withLab([up], `forward . ${to(up)}`, async (lab) => {
    for (let i = 0; i < 120; i++) {
      const name = `Letters-and-more-letters-${i}.Example.NET.`;
      const message = await lab.ask(name);
      assert.equal(message.questions[0]?.name, name);
      assert.equal(message.answers[0]?.name, name);
      assert.deepEqual(addresses(message), [ADDRESS]);
      assert.equal(message.recursionAvailable, true);
    }
    assert.equal(await lab.metric(ANSWERED), 120);
    const asked = up.asked.filter(({ query }) =>
      query.questions[0]?.name.toLowerCase().startsWith("letters"),
    );
    assert.equal(asked.length, 120);
    assert.ok(new Set(asked.map(({ query }) => query.id)).size > 110, "identifiers repeat");
    assert.ok(new Set(asked.map(({ port }) => port)).size >= 4, "too few ports");
    const upper = asked.map(({ query }) => query.questions[0]?.name.replace(/[^A-Z]/g, "").length ?? 0);
    // 33 letters each: half of them are capitals, never as the client wrote them throughout.
    const mean = upper.reduce((sum, count) => sum + count, 0) / upper.length;
    assert.ok(mean > 12 && mean < 21, `${mean} capitals`);
    assert.ok(new Set(upper).size > 5);
    assert.equal(await lab.metric(/^coredns_forward_responses_total\{.*NOERROR.*\} (\d+)$/m), 120);
    assert.equal(await lab.metric(/^coredns_dns_responses_total\{.*plugin="forward".*\} (\d+)$/m), 120);
    const opened = await lab.metric(/^coredns_proxy_conn_cache_misses_total\{.*\} (\d+)$/m);
    const kept = await lab.metric(/^coredns_proxy_conn_cache_hits_total\{.*\} (\d+)$/m);
    assert.equal(opened + kept, 120);
  });
});

test("a name that begins inside another's label is read by the chain", async () => {
  const name = "a.\\003net\\000.example.";
  const nameBytes = 2 + 6 + 8 + 1;
  const up = await stub((query) => {
    const whole = addressed(query);
    const question = 12 + nameBytes + 4;
    // Behind the head, `a` and the length of the label: 3 n e t 0.
    const owner = Buffer.from([0xc0, 12 + 2 + 1]);
    return Buffer.concat([whole.subarray(0, question), owner, whole.subarray(question + nameBytes)]);
  });
  await withLab([up], `forward . ${to(up)}`, async (lab) => {
    const message = await lab.ask(name);
    assert.equal(message.answers[0]?.name.toLowerCase(), "net.");
    assert.equal(message.questions[0]?.name, name);
    assert.equal(await lab.metric(FORWARDED), 1);
    assert.equal(await lab.metric(ANSWERED), 0);
  });
});

test("sockets live as long as expire says", async () => {
  const up = await stub((query) => addressed(query));
  await withLab([up], `forward . ${to(up)} {\n expire 1ms\n }`, async (lab) => {
    for (let i = 0; i < 30; i++) {
      await lab.ask(`n${i}.example.net.`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    assert.ok(new Set(up.asked.map(({ port }) => port)).size >= 25);
  });
});

test("forged replies are ignored: identifier, question, letters, sender", async () => {
  const forger = createSocket("udp4").bind(0, "127.0.0.1").unref();
  await once(forger, "listening");
  const up = await stub((query, from, socket) => {
    const [question] = query.questions;
    if (question === undefined) return undefined;
    const send = (bytes: Buffer): void => void socket.send(bytes, from.port, from.address);
    send(addressed({ ...query, id: query.id ^ 1 }, "203.0.113.1"));
    send(addressed({ ...query, questions: [{ ...question, type: 28 }] }, "203.0.113.2"));
    send(addressed({ ...query, questions: [{ ...question, name: `x.${question.name}` }] }, "203.0.113.3"));
    send(encodeMessage(query));
    send(Buffer.alloc(3));
    forger.send(addressed(query, "203.0.113.4"), from.port, from.address);
    setTimeout(() => send(addressed(query)), 50);
    return undefined;
  });
  await withLab([up], `forward . ${to(up)}`, async (lab) => {
    assert.deepEqual(addresses(await lab.ask("www.example.net.")), [ADDRESS]);
    assert.equal(await lab.metric(ANSWERED), 1);
    up.answer = (query, from) => {
      const [question] = query.questions;
      if (question === undefined) return undefined;
      // In other letters over UDP; what is asked over TCP then is answered as it should be.
      const swapped = question.name.replace(/[a-z]/gi, (c) => (c < "a" ? c.toLowerCase() : c.toUpperCase()));
      return from.port === 0
        ? addressed(query)
        : addressed({ ...query, questions: [{ ...question, name: swapped }] }, "203.0.113.5");
    };
    assert.deepEqual(addresses(await lab.ask("www.example.net.")), [ADDRESS]);
  });
  forger.close();
});

test("a silent upstream is left for another, marked down after max_fails, and asked again when it is back", async () => {
  const first = await stub(() => undefined);
  const second = await stub((query) => addressed(query, "198.51.100.8"));
  const options = "policy sequential\n read_timeout 100ms\n max_fails 1\n health_check 50ms";
  await withLab([first, second], `forward . ${to(first, second)} {\n ${options}\n }`, async (lab) => {
    for (let i = 0; i < 3; i++)
      assert.deepEqual(addresses(await lab.ask(`a${i}.example.net.`)), ["198.51.100.8"]);
    const failures = new RegExp(
      `^nodeplane_dns_forward_failures_total\\{to="127.0.0.1:${first.port}"\\} (\\d+)$`,
      "m",
    );
    await until(async () => (await lab.metric(failures)) >= 2);
    await until(
      async () => (await lab.metric(/^coredns_proxy_healthcheck_failures_total\{.*\} (\d+)$/m)) > 0,
    );
    const before = first.asked.filter(({ query }) => query.questions[0]?.name !== ".").length;
    await lab.ask("down.example.net.");
    const names = first.asked.filter(({ query }) => query.questions[0]?.name !== ".").length;
    assert.equal(names, before, "it is down, and nobody asks it");
    first.answer = (query) => addressed(query, "198.51.100.9");
    await until(async () => addresses(await lab.ask("back.example.net."))[0] === "198.51.100.9");
  });
});

test("SERVFAIL with its cause when nobody replies, once the attempts are over", async () => {
  const up = await stub(() => undefined);
  const options = "read_timeout 100ms\n max_fails 0\n max_connect_attempts 2";
  await withLab([up], `forward . ${to(up)} {\n ${options}\n }`, async (lab) => {
    const message = await lab.ask("silent.example.net.");
    assert.equal(message.rcode, 2);
    assert.equal(up.asked.length, 2);
    assert.match(lab.lines.join("\n"), /SERVFAIL silent\.example\.net\. A: 127.*no reply within 100 ms/);
    assert.equal(await lab.metric(/^nodeplane_dns_forward_failures_total\{.*\} (\d+)$/m), 2);
  });
  const port = await freePort();
  await withLab([], `forward . 127.0.0.1:${port}`, async (lab) => {
    assert.equal((await lab.ask("refused.example.net.")).rcode, 2);
    assert.match(lab.lines.join("\n"), /refused\.example\.net\. A: 127.*ECONNREFUSED/);
  });
});

test("policies: round_robin takes turns, random takes all, sequential the first", async () => {
  for (const policy of ["round_robin", "random", "sequential"]) {
    const stubs = await Promise.all([1, 2, 3].map(() => stub((query) => addressed(query))));
    await withLab(stubs, `forward . ${to(...stubs)} {\n policy ${policy}\n }`, async (lab) => {
      for (let i = 0; i < 60; i++) await lab.ask(`n${i}.example.net.`);
      const [a = 0, b = 0, c = 0] = stubs.map(({ asked }) => asked.length);
      if (policy === "round_robin") assert.deepEqual([a, b, c], [20, 20, 20]);
      if (policy === "sequential") assert.deepEqual([a, b, c], [60, 0, 0]);
      if (policy === "random") assert.ok(Math.min(a, b, c) > 3, `${a} ${b} ${c}`);
      assert.equal(await lab.metric(ANSWERED), 60);
    });
  }
});

test("max_concurrent: one more is REFUSED, whoever forwards", async () => {
  const release: (() => void)[] = [];
  const up = await stub((query, from, socket) => {
    release.push(() => socket.send(addressed(query), from.port, from.address));
    return undefined;
  });
  await withLab([up], `forward . ${to(up)} {\n max_concurrent 3\n }`, async (lab) => {
    const waiting = [1, 2, 3].map((i) => lab.ask(`n${i}.example.net.`));
    await until(() => release.length === 3);
    assert.equal((await lab.ask("n4.example.net.")).rcode, 5);
    assert.equal(await lab.metric(/^coredns_forward_max_concurrent_rejects_total (\d+)$/m), 1);
    for (const one of release.splice(0)) one();
    for (const message of await Promise.all(waiting)) assert.deepEqual(addresses(message), [ADDRESS]);
    const after = lab.ask("n5.example.net.");
    await until(() => release.length === 1);
    release[0]?.();
    assert.equal((await after).rcode, 0);
  });
});

test("with cache: asked once, merged while on its way, kept for all flags, its TTL bounded", async () => {
  const up = await stub((query, from, socket) => {
    setTimeout(() => socket.send(addressed(query, ADDRESS, 3_600), from.port, from.address), 150);
    return undefined;
  });
  await withLab([up], `cache 30\n forward . ${to(up)}`, async (lab) => {
    const spellings = ["www.example.net.", "WWW.example.net.", "www.EXAMPLE.net."];
    const many = await Promise.all([...spellings, ...spellings].map((name) => lab.ask(name)));
    for (const [i, message] of many.entries()) {
      assert.deepEqual(addresses(message), [ADDRESS]);
      assert.equal(message.answers[0]?.name, spellings[i % 3]);
      assert.equal(message.answers[0]?.ttl, 30);
    }
    // Each thread of the engine merges what it has.
    assert.ok(up.asked.length <= 4, `${up.asked.length} queries for one question`);
    up.answer = () => undefined;
    const edns = { udpBytes: 1232, version: 0, dnssecOk: false, options: [] };
    for (const change of [{}, { authenticData: true }, { recursionDesired: false }, { edns }, {}, { edns }]) {
      assert.deepEqual(addresses(await lab.ask("www.example.net.", "A", change)), [ADDRESS]);
    }
    assert.ok((await lab.metric(/^coredns_cache_hits_total\{.*type="success".*\} (\d+)$/m)) >= 6);
    assert.ok((await lab.metric(ANSWERED)) >= 1, "the engine answers from what it learned");
  });
});

test("names of kubernetes, except, other zones and probes of loop are the chain's", async () => {
  const up = await stub((query) => addressed(query));
  const lines = `kubernetes cluster.local\n loop\n forward example.net ${to(up)} {\n except private.example.net\n }`;
  await withLab([up], lines, async (lab) => {
    assert.deepEqual(addresses(await lab.ask("www.example.net.")), [ADDRESS]);
    const before = await lab.metric(FORWARDED);
    for (const name of ["a.private.example.net.", "www.example.org.", "a.b.svc.cluster.local."]) {
      assert.notDeepEqual(addresses(await lab.ask(name)), [ADDRESS], name);
    }
    await lab.ask("probe.example.net.", "HINFO");
    assert.equal(await lab.metric(FORWARDED), before);
  });
});

test("a new configuration: what is on its way is answered, what comes goes to the new upstream", async () => {
  const release: (() => void)[] = [];
  const old = await stub((query, from, socket) => {
    release.push(() => socket.send(addressed(query), from.port, from.address));
    return undefined;
  });
  const next = await stub((query) => addressed(query, "198.51.100.10"));
  await withLab([old, next], `forward . ${to(old)}`, async (lab) => {
    const waiting = lab.ask("slow.example.net.");
    await until(() => release.length === 1);
    await lab.apply(`forward . ${to(next)}`);
    assert.deepEqual(addresses(await lab.ask("slow.example.net.")), ["198.51.100.10"]);
    release[0]?.();
    assert.deepEqual(addresses(await waiting), [ADDRESS]);
    await lab.apply("acl {\n block\n }");
    assert.equal((await lab.ask("slow.example.net.")).rcode, 5);
  });
});

test("upstreams that lead back: forwarding is off", async () => {
  const port = await freePort();
  const lab = await forwardLab(`loop\n forward . 127.0.0.1:${port}`);
  // A proxy that sends each query back to where it came from.
  const back = createSocket("udp4").bind(port, "127.0.0.1").unref();
  const server = Number(lab.address.split(":").at(-1));
  const clients = new Map<number, number>();
  back.on("message", (packet, from) => {
    if (from.port === server) {
      const client = clients.get(packet.readUInt16BE(0));
      if (client !== undefined) back.send(packet, client, "127.0.0.1");
      return;
    }
    clients.set(packet.readUInt16BE(0), from.port);
    back.send(packet, server, "127.0.0.1");
  });
  await lab.apply(`loop\n forward . 127.0.0.1:${port}`);
  await until(() => lab.lines.some((line) => line.includes("lead back to this server")));
  const before = await lab.metric(FORWARDED);
  assert.equal((await lab.ask("www.example.net.")).rcode, 2);
  assert.equal(await lab.metric(FORWARDED), before);
  await lab.stop();
  back.close();
});
