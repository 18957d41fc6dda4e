/** The native UDP engine and its fake do the same. The real one runs on loopback, with a port that the system chooses. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { after, describe, test } from "node:test";
import { decodeMessage } from "../../../src/codec/dns/decode.ts";
import { encodeMessage } from "../../../src/codec/dns/encode.ts";
import type { DnsMessage } from "../../../src/codec/dns/message.ts";
import type { EngineAnswer, UdpEngine } from "../../../src/drivers/udp-engine/driver.ts";
import { FakeUdpEngine } from "../../../src/drivers/udp-engine/fake.ts";
import { openUdpEngine } from "../../../src/drivers/udp-engine/index.ts";
import { queryMessage } from "../../support/dns-query.ts";
import { withFreePort } from "../../support/free-port.ts";

interface Subject {
  readonly engine: UdpEngine;
  /** `undefined` when the packet was handed up. */
  readonly ask: (packet: Buffer) => Promise<DnsMessage | undefined>;
  readonly close: () => void;
}

function decoded(bytes: Uint8Array): DnsMessage {
  const result = decodeMessage(bytes);
  assert.equal(result.kind, "message");
  if (result.kind !== "message") throw new Error("unreadable");
  return result.message;
}

async function real(): Promise<Subject> {
  const handed: (() => void)[] = [];
  const engine = openUdpEngine(1 << 20, () => handed.shift()?.());
  assert.ok(engine);
  const port = await withFreePort(async (free) => {
    engine.listen(0, "127.0.0.1", free, 2);
    return free;
  });
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.connect(port, "127.0.0.1", resolve));
  const ask = (packet: Buffer) =>
    new Promise<DnsMessage | undefined>((resolve) => {
      handed.push(() => resolve(undefined));
      socket.once("message", (reply) => {
        handed.length = 0;
        resolve(decoded(reply));
      });
      socket.send(packet);
    }).finally(() => socket.removeAllListeners("message"));
  const close = (): void => {
    socket.close();
    engine.close();
  };
  return { engine, ask, close };
}

async function fake(): Promise<Subject> {
  const engine = new FakeUdpEngine(Date.now, () => undefined);
  const ask = async (packet: Buffer) => {
    const reply = engine.ask(0, packet);
    return reply === undefined ? undefined : decoded(reply);
  };
  return { engine, ask, close: () => undefined };
}

const NAME = "web.default.svc.cluster.local.";

function answer(
  change: Partial<EngineAnswer> = {},
  addresses: readonly string[] = ["10.96.0.1"],
): EngineAnswer {
  const query = queryMessage(NAME);
  const answers = addresses.map((address) => ({
    name: NAME,
    type: 1,
    class: 1,
    ttl: 30,
    data: { kind: "address" as const, address: address as never },
  }));
  const image = encodeMessage({ ...query, id: 0, isResponse: true, authoritative: true, answers });
  return { listener: 0, keyFlags: 1, type: 1, counter: 0, image, tags: [], ...change };
}

const RECORD_BYTES = 16;
const behind = (image: Uint8Array, records: number): number => image.length - records * RECORD_BYTES;
const query = (change: Partial<DnsMessage> = {}, name = NAME): Buffer =>
  encodeMessage({ ...queryMessage(name), ...change });

for (const [title, open] of [
  ["native", real],
  ["fake", fake],
] as const) {
  describe(`udp engine, ${title}`, async () => {
    const { engine, ask, close } = await open();
    after(close);

    test("what it does not know is handed up", async () => {
      assert.equal(await ask(query()), undefined);
      assert.equal(await ask(Buffer.from([1, 2, 3])), undefined);
    });

    test("a published answer gets the client's identifier, spelling, RD and OPT", async () => {
      engine.publish(answer());
      const spelled = "WEB.deFault.svc.cluster.LOCAL.";
      const edns = { udpBytes: 1232, version: 0, dnssecOk: false, options: [] };
      const reply = await ask(query({ id: 4711, edns }, spelled));
      assert.equal(reply?.id, 4711);
      assert.equal(reply.questions[0]?.name, spelled);
      assert.equal(reply.answers[0]?.name, spelled);
      assert.equal(reply.authoritative, true);
      assert.deepEqual(reply.edns, edns);
      assert.equal(await ask(query({ recursionDesired: false })), undefined);
      assert.equal(await ask(query({ edns: { ...edns, version: 1 } })), undefined);
      assert.equal(await ask(query({ opcode: 4 })), undefined);
      const options = (code: number) => ({ edns: { ...edns, options: [{ code, bytes: Buffer.alloc(8) }] } });
      assert.ok(await ask(query(options(65_001))));
      assert.equal(await ask(query(options(10))), undefined, "a cookie is the chain's work");
    });

    test("an answer for one spelling is for that one only", async () => {
      engine.flush();
      engine.publish(answer({ keyFlags: 1 | 16 }));
      assert.ok(await ask(query()));
      assert.equal(await ask(query({}, NAME.toUpperCase())), undefined);
    });

    test("a tag that moved on voids the answer", async () => {
      engine.flush();
      engine.setGeneration(9, 3);
      engine.publish(answer({ tags: [{ tag: 9, generation: 3 }] }));
      assert.ok(await ask(query()));
      engine.setGeneration(9, 4);
      assert.equal(await ask(query()), undefined);
    });

    test("TTLs run down and the answer ends on time", async () => {
      engine.flush();
      const now = Date.now();
      const base = answer();
      const ttlOffsets = [behind(base.image, 1) + 6];
      engine.publish(answer({ ageing: { baseMs: now - 12_500, ttlOffsets }, expiresMs: now + 60_000 }));
      assert.equal((await ask(query()))?.answers[0]?.ttl, 18);
      engine.publish(answer({ ageing: { baseMs: now - 40_000, ttlOffsets }, expiresMs: now + 60_000 }));
      assert.equal((await ask(query()))?.answers[0]?.ttl, 0);
      engine.publish(answer({ expiresMs: now - 1 }));
      assert.equal(await ask(query()), undefined);
    });

    test("the serial is the engine's", async () => {
      engine.flush();
      const base = answer();
      engine.setSerial(0x0a00_0009);
      engine.publish(answer({ serialAt: base.image.length - 4 }));
      const data = (await ask(query()))?.answers[0]?.data;
      assert.deepEqual(data, { kind: "address", address: "10.0.0.9" });
    });

    test("an answer that does not fit the client is handed up", async () => {
      engine.flush();
      const addresses = Array.from({ length: 40 }, (_, i) => `10.0.0.${i}`);
      engine.publish(answer({}, addresses));
      assert.equal(await ask(query()), undefined);
      const edns = { udpBytes: 1232, version: 0, dnssecOk: false, options: [] };
      assert.equal((await ask(query({ edns })))?.answers.length, 40);
    });
  });
}

test("the native engine sends every order of addresses, refuses broken records, stays in its memory", async () => {
  const { engine, ask, close } = await real();
  try {
    const three = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
    const { image } = answer({}, three);
    engine.publish(answer({ rotate: { at: behind(image, 3), count: 3, stride: RECORD_BYTES } }, three));
    const orders = new Set<string>();
    for (let i = 0; i < 200; i++) {
      const reply = await ask(query());
      orders.add(
        JSON.stringify(reply?.answers.map(({ data }) => (data.kind === "address" ? data.address : ""))),
      );
    }
    assert.equal(orders.size, 6);
    for (const broken of [
      answer({ serialAt: image.length - 2 }),
      answer({ rotate: { at: behind(image, 3), count: 4, stride: RECORD_BYTES } }, three),
      answer({ counter: 512 }),
      answer({ type: 28 }),
      answer({ image: image.subarray(0, 11) }),
      answer({ expiresMs: -5 }),
    ]) {
      assert.throws(() => engine.publish(broken), TypeError);
    }
    for (let i = 0; i < 20_000; i++) {
      const other = Buffer.from(image);
      other.write(i.toString(36).padStart(3, "0").slice(-3), 13, "latin1");
      engine.publish(answer({ image: other }));
    }
    const { bytes, entries } = engine.counters();
    assert.ok(bytes <= 1 << 20 && entries > 3_000, `${entries} entries in ${bytes} bytes`);
  } finally {
    close();
  }
});
