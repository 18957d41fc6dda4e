/** What the server holds for slow nodes, how large messages get, and what it answers to hostile clients. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, suite, test } from "node:test";
import { connect } from "node:tls";
import { decodeObject } from "../../../src/codec/stream/decode-object.ts";
import { encodeNodeMessage, type Hello, type NodeMessage } from "../../../src/codec/stream/node-message.ts";
import { MAX_MESSAGE_BYTES, visitServerMessage } from "../../../src/codec/stream/server-message.ts";
import { WireWriter } from "../../../src/codec/stream/wire.ts";
import { Catalog, MAX_FIELD_BYTES } from "../../../src/control-plane/node-stream/catalog.ts";
import { MemorySource } from "../../../src/control-plane/node-stream/memory-source.ts";
import type { ObjectSource, SourceListener } from "../../../src/control-plane/node-stream/object-source.ts";
import { StreamHub } from "../../../src/control-plane/node-stream/stream-hub.ts";
import { Connection, readKeys } from "../../../src/feed/stream/connection.ts";
import type { IpAddress } from "../../../src/model/ip.ts";
import type { EndpointSlice, FeedObject } from "../../../src/model/objects.ts";
import { until } from "../../support/until.ts";
import { HELLO, StreamFixture, service, serviceKey } from "./stream-fixture.ts";

let fixture: StreamFixture;
beforeEach(async () => {
  fixture = new StreamFixture();
  await fixture.open();
});
afterEach(async () => await fixture.close());

/** A client that says exactly what a test wants. */
class RawClient {
  readonly messages: Buffer[] = [];
  readonly #connection: Connection;

  private constructor(connect: (onMessage: (message: Buffer) => void) => Connection) {
    this.#connection = connect((message) => this.messages.push(message));
  }
  static async open(node: string, hello: Partial<Hello> = {}): Promise<RawClient> {
    const files = await fixture.connectionOf(node);
    const keys = await readKeys(files);
    const client = new RawClient((onMessage) => new Connection(files.address, keys, onMessage));
    const base = {
      node,
      role: "agent",
      sets: ["Service", "EndpointSlice"],
      epoch: "",
      revision: 0,
      credits: 1,
      version: "t",
    };
    client.send({ hello: { ...base, ...hello } });
    return client;
  }
  get ended() {
    return this.#connection.ended;
  }
  send(message: NodeMessage): void {
    this.#connection.send(encodeNodeMessage(message));
  }
  sendBytes(bytes: Buffer): void {
    this.#connection.send(bytes);
  }
  close(): void {
    this.#connection.close("test");
  }
  /** Names in the messages with objects, `-` before removed ones. */
  get names(): readonly (readonly string[])[] {
    return this.messages.slice(1).map((message) => {
      const names: string[] = [];
      visitServerMessage(message, {
        upsert: (bytes, start, end) => names.push(decodeObject(bytes, start, end)?.meta.name ?? ""),
        remove: (key) => names.push(`-${key.name}`),
      });
      return names;
    });
  }
}

const slice = (name: string, endpoints: number, podName = 30): EndpointSlice => ({
  kind: "EndpointSlice",
  meta: { namespace: "ns", name, uid: name, creationTimestampMs: 1, labels: {}, annotations: {} },
  serviceName: name,
  addressType: "IPv4",
  ports: [],
  endpoints: Array.from({ length: endpoints }, (_, index) => ({
    addresses: [`10.${index >> 8}.${index & 255}.1` as IpAddress],
    ready: true,
    serving: true,
    terminating: false,
    targetPod: `ns/${"p".repeat(podName)}${index}`,
  })),
});

suite("slow nodes", { timeout: 60_000 }, () => {
  test("a stalled node skips intermediate revisions and gets the newest of each object once", async () => {
    const raw = await RawClient.open("n1");
    await until(() => raw.messages.length === 2, "snapshot");
    for (let round = 0; round < 500; round++)
      fixture.source.apply([
        service(`s${round % 5}`, "10.96.0.1", `${round}`),
        ...(round === 300 ? [serviceKey("gone")] : []),
      ]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(raw.messages.length, 2);
    raw.send({ credits: 1 });
    await until(() => raw.messages.length === 3, "difference");
    assert.deepEqual(raw.names[1], ["-gone", "s0", "s1", "s2", "s3", "s4"]);
    assert.equal(fixture.hub.statuses()[0]?.sentRevision, 501);
    raw.close();
  });

  test("the server's memory does not grow with what a stalled node misses", async () => {
    const stalled = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => await RawClient.open(`n${index}`)),
    );
    await until(() => stalled.every((raw) => raw.messages.length === 2), "snapshots");
    const annotations = { note: "x".repeat(20_000) };
    const before = process.memoryUsage().arrayBuffers;
    for (let round = 0; round < 2000; round++) {
      const object = service(`s${round % 5}`, "10.96.0.1", `${round}`);
      fixture.source.apply([{ ...object, meta: { ...object.meta, annotations } } as FeedObject]);
      if (round % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    // 40 MB went by; what is alive is five objects of 20 kB, and garbage not yet collected.
    const grown = process.memoryUsage().arrayBuffers - before;
    assert.ok(grown < 30_000_000, `grew by ${grown} bytes`);
    for (const raw of stalled) raw.send({ credits: 1000 });
    await until(() => stalled.every((raw) => raw.messages.length >= 3), "differences");
    assert.deepEqual(stalled[0]?.names[1], ["s0", "s1", "s2", "s3", "s4"]);
    for (const raw of stalled) raw.close();
  });

  test("a node with few credits gets a snapshot piece by piece, and a change meanwhile after it", async () => {
    fixture.source.apply(Array.from({ length: 60 }, (_, index) => slice(`e${index}`, 1000)));
    const raw = await RawClient.open("n1");
    await until(() => raw.messages.length === 2, "first piece");
    fixture.source.apply([slice("e0", 1), service("new")]);
    for (let credit = 0; credit < 60; credit++) raw.send({ credits: 1 });
    await until(() => raw.names.flat().includes("new"), "change");
    const names = raw.names.flat();
    assert.equal(names.length, 62);
    assert.deepEqual(names.slice(60), ["e0", "new"]);
    assert.ok(raw.messages.length > 8);
    assert.ok(raw.messages.every((message) => message.length <= MAX_MESSAGE_BYTES));
    raw.close();
  });
});

suite("sizes", { timeout: 60_000 }, () => {
  test("an object larger than a message is refused and reported; it comes when it fits", async () => {
    fixture.source.apply([slice("ok", 1000), slice("huge", 4000, 100)]);
    const { recorder, feed } = await fixture.client("n1");
    await until(() => recorder.names.length === 1, "snapshot without it");
    assert.deepEqual(recorder.names, ["ok"]);
    assert.equal(fixture.sourceProblems[0]?.problems[0]?.reason, "ObjectTooLarge");
    assert.equal(fixture.hub.counters().leftOut, 1);
    fixture.source.apply([slice("huge", 10)]);
    await until(() => recorder.names.length === 2, "mended");
    assert.deepEqual(fixture.sourceProblems[1]?.problems, []);
    fixture.source.apply([slice("huge", 4000, 100)]);
    await until(() => recorder.names.length === 1, "taken away when it grows too large");
    assert.equal(feed.counters.snapshots, 1);
  });

  test("one transaction of more than a message arrives as one batch", async () => {
    const { recorder } = await fixture.client("n1");
    await until(() => recorder.batches.length === 1, "snapshot");
    fixture.source.apply(Array.from({ length: 20 }, (_, index) => slice(`e${index}`, 1000)));
    await until(() => recorder.batches.length === 2, "difference");
    assert.equal(recorder.batches[1]?.lines.length, 20);
  });

  test("the catalog forgets the oldest removals and then asks for a snapshot, but keeps the newer ones", () => {
    const catalog = new Catalog(() => {});
    catalog.load({ revision: 1, objects: [], removals: [], oldestRevision: 1 });
    const kinds = new Set(["Service"] as const);
    for (let revision = 2; revision <= 60_000; revision++) {
      const key = serviceKey(`s${revision}`);
      catalog.apply({ changes: [{ key, object: undefined, revision }], revision, changedAtMs: 0 });
    }
    assert.equal(catalog.difference(100, kinds), undefined);
    assert.equal(catalog.difference(59_990, kinds)?.fields.length, 10);
    assert.ok(catalog.encodedBytes() < 50_000 * 40);
    assert.ok(MAX_FIELD_BYTES < MAX_MESSAGE_BYTES);
  });

  test("unchanged after trimming is no change for nodes", () => {
    const catalog = new Catalog(() => {});
    catalog.load({
      revision: 1,
      objects: [{ object: service("a"), revision: 1 }],
      removals: [],
      oldestRevision: 1,
    });
    const change = { key: serviceKey("a"), object: service("a"), revision: 2 };
    assert.equal(catalog.apply({ changes: [change], revision: 2, changedAtMs: 0 }), false);
    assert.equal(catalog.revision, 2);
  });
});

suite("hostile clients", { timeout: 30_000 }, () => {
  const rows: readonly (readonly [string, (raw: RawClient) => void, RegExp])[] = [
    [
      "a second hello",
      (raw) =>
        raw.send({
          hello: { node: "n1", role: "agent", sets: [], epoch: "", revision: 0, credits: 1, version: "" },
        }),
      /a second hello/,
    ],
    ["bytes that are no message", (raw) => raw.sendBytes(Buffer.from([0x0a, 0xff])), /cannot be read/],
    [
      "a report that does not begin",
      (raw) =>
        raw.send({
          report: {
            first: false,
            last: true,
            nodeJson: Buffer.from("{}"),
            podJson: [],
            eventJson: [],
            sequence: 1,
          },
        }),
      /does not begin/,
    ],
    [
      "a report that is no JSON",
      (raw) =>
        raw.send({
          report: {
            first: true,
            last: true,
            nodeJson: Buffer.from("{"),
            podJson: [],
            eventJson: [],
            sequence: 1,
          },
        }),
      /not JSON/,
    ],
    [
      "a message of more than 256 KiB (not even sent)",
      (raw) =>
        raw.send({
          report: {
            first: true,
            last: true,
            nodeJson: Buffer.alloc(300_000, 32),
            podJson: [],
            eventJson: [],
            sequence: 1,
          },
        }),
      /size larger than 262144/,
    ],
  ];
  for (const [name, act, reason] of rows)
    test(`${name} ends the stream with a reason`, async () => {
      const raw = await RawClient.open("n1");
      await until(() => raw.messages.length >= 1, "welcome");
      act(raw);
      assert.match((await raw.ended).reason, reason);
      await until(() => fixture.hub.statuses().length === 0, "session gone");
    });

  test("an unknown role is refused; unknown sets are named and skipped; unknown fields are skipped", async () => {
    const odd = await RawClient.open("n1", { role: "spy" });
    assert.match((await odd.ended).reason, /role must be/);
    fixture.source.apply([service("a")]);
    const newer = await RawClient.open("n1", { sets: ["Service", "Gateway"] });
    const writer = new WireWriter();
    writer.text(77, "from a newer version");
    newer.sendBytes(writer.finish());
    await until(() => newer.messages.length === 2, "snapshot");
    const unknown: (readonly string[])[] = [];
    visitServerMessage(newer.messages[0] ?? Buffer.alloc(0), {
      welcome: ({ unknownSets }) => unknown.push(unknownSets),
    });
    assert.deepEqual(unknown, [["Gateway"]]);
    assert.deepEqual(newer.names, [["a"]]);
    newer.close();
  });
});

suite("server", { timeout: 30_000 }, () => {
  test("a renewed certificate is for new connections; streams that are open go on", async () => {
    const { recorder, feed } = await fixture.client("n1");
    await until(() => feed.synced, "synced");
    const renewed = await fixture.renewServer();
    const { caFile, certificateFile, keyFile } = await fixture.connectionOf("n2");
    const [ca, cert, key] = [caFile, certificateFile, keyFile].map((path) => readFileSync(path));
    const socket = connect({ host: "127.0.0.1", port: fixture.port, ca, cert, key, ALPNProtocols: ["h2"] });
    await once(socket, "secureConnect");
    assert.equal(
      socket.getPeerX509Certificate()?.fingerprint256,
      new X509Certificate(renewed).fingerprint256,
    );
    socket.destroy();
    fixture.source.apply([service("a")]);
    await until(() => recorder.names.length === 1, "the open stream goes on");
    assert.equal(feed.counters.connects, 1);
  });

  test("when the source loses its place everything is loaded anew, and nodes get the difference", async () => {
    const source = new MemorySource();
    const listeners: SourceListener[] = [];
    let failures = 1;
    const lossy: ObjectSource = {
      epoch: "lossy",
      isAuthoritative: false,
      load: async () => {
        if (listeners.length > 0 && failures-- > 0) throw new Error("the store is away");
        return await source.load();
      },
      watch: (_from, listener) => {
        listeners.push(listener);
        return () => {};
      },
    };
    const failed: unknown[] = [];
    const hub = new StreamHub({ source: lossy, events: { failed: (error) => failed.push(error) } });
    await hub.start();
    const messages: Buffer[] = [];
    const output = { send: (message: Buffer) => messages.push(message) > 0 };
    hub.connect(HELLO, "agent", output, () => {}).session.pump();
    source.apply([service("a")]);
    assert.equal(messages.length, 1);
    listeners[0]?.lost();
    await until(() => messages.length === 2, "difference after the reload");
    assert.equal(failed.length, 1);
    assert.equal(hub.counters().lost, 1);
    assert.equal(hub.counters().snapshots, 1);
    hub.close();
  });
});
