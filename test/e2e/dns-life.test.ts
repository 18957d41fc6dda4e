/**
 * The resolver when things around it change: the control plane goes away and returns, it is told to stop or to reload while
 * queries are under way. No query is lost.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { decodeMessage } from "../../src/codec/dns/decode.ts";
import { encodeMessage } from "../../src/codec/dns/encode.ts";
import { type ResolverProcess, startResolver } from "../dns-cases/resolver-process.ts";
import { askText } from "../dns-corefiles/ask.ts";
import { queryMessage } from "../support/dns-query.ts";
import { framed, readFrames } from "../support/dns-stream.ts";
import { withFreePort } from "../support/free-port.ts";
import { until } from "../support/until.ts";

const root = join(import.meta.dirname, "../..");
const main = join(root, "src/bin/nodeplane.ts");
const fixture = join(root, "test/cases/dns-fixture.yaml");
const folder = mkdtempSync(join(tmpdir(), "nodeplane-dns-life-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const NAME = "kubernetes.default.svc.cluster.local A";

suite("the control plane goes away", () => {
  const corefile = `.:0 {\n bind 127.0.0.1\n errors\n prometheus 127.0.0.1:0\n ready 127.0.0.1:0\n kubernetes cluster.local {\n ttl 30\n }\n}\n`;
  const running: ChildProcess[] = [];
  after(() => {
    for (const child of running) child.kill("SIGKILL");
  });

  /** @returns once it says that it is ready */
  async function startControlPlane(streamPort: number): Promise<ChildProcess> {
    const flags = ["--data-dir", join(folder, "cp"), "--bind-address", "127.0.0.1", "--secure-port", "0"];
    const argv = [main, "control-plane", ...flags, "--stream-port", String(streamPort)];
    const child = spawn(process.execPath, argv, { stdio: ["ignore", "ignore", "pipe"] });
    running.push(child);
    let log = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      log += text;
    });
    await until(async () => log.includes('"msg":"ready"') || child.exitCode !== null);
    if (child.exitCode !== null) throw new Error(`the control plane ended with ${child.exitCode}:\n${log}`);
    return child;
  }

  function certificate(port: number): readonly string[] {
    const out = join(folder, "pki");
    const argv = [
      main,
      "certificate",
      "node",
      "n1",
      "--data-dir",
      join(folder, "cp"),
      "--out",
      out,
      "--node-dir",
      out,
    ];
    const result = spawnSync(process.execPath, [...argv, "--server", `127.0.0.1:${port}`], {
      encoding: "utf8",
    });
    assert.equal(result.status, 0, result.stderr);
    return readFileSync(join(out, "dns.flags"), "utf8").trim().split(/\s+/);
  }

  const page = async (resolver: ResolverProcess, path: string): Promise<string> => {
    for (const address of resolver.http) {
      const reply = await fetch(`http://${address}${path}`);
      if (reply.status !== 404) return `${reply.status} ${await reply.text()}`;
    }
    return "404";
  };
  const age = async (resolver: ResolverProcess): Promise<number> =>
    Number(/^nodeplane_dns_data_age_seconds (\S+)$/m.exec(await page(resolver, "/metrics"))?.[1]);

  test("answers from what is persisted, with its age; SERVFAIL only without any", async () => {
    const first = await withFreePort(async (port) => ({ port, plane: await startControlPlane(port) }));
    const { port } = first;
    const flags = certificate(port);
    const state = (name: string): readonly string[] => [...flags, "--state-dir", join(folder, name)];
    let resolver = await startResolver(corefile, state("kept"));
    await until(async () => (await askText(NAME, resolver.port)).includes("10.96.0.1"));
    assert.equal(await age(resolver), 0);

    first.plane.kill("SIGKILL");
    await until(async () => (await age(resolver)) > 0);
    const before = await age(resolver);
    assert.match(await askText(NAME, resolver.port), /^NOERROR aa\n.* 30 A 10\.96\.0\.1$/);
    await until(async () => (await age(resolver)) > before + 0.5);
    assert.equal(await resolver.stop(), 0);

    resolver = await startResolver(corefile, state("kept"));
    assert.match(await askText(NAME, resolver.port), /10\.96\.0\.1$/);
    assert.match(await askText("nothing.default.svc.cluster.local A", resolver.port), /^NXDOMAIN/);
    assert.match(await page(resolver, "/ready"), /^200/);
    assert.ok((await age(resolver)) > before);

    const empty = await startResolver(corefile, state("empty"));
    assert.match(await askText(NAME, empty.port), /^SERVFAIL/);
    assert.match(await page(empty, "/ready"), /^503 kubernetes/);

    await startControlPlane(port);
    await until(async () => (await age(resolver)) === 0);
    await until(async () => (await askText(NAME, empty.port)).includes("10.96.0.1"));
    assert.match(await page(empty, "/ready"), /^200/);
    assert.equal(await resolver.stop(), 0);
    assert.equal(await empty.stop(), 0);
  });
});

suite("told to stop or to reload", () => {
  const web = "web.atlas.svc.cluster.local.";

  test("SIGTERM: what is under way is answered, over UDP and TCP, and the lameduck time is used", async () => {
    const slow = await slowUpstream(400);
    const corefile = `.:0 {\n bind 127.0.0.1\n health 127.0.0.1:0 {\n lameduck 300ms\n }\n kubernetes cluster.local\n forward . 127.0.0.1:${slow.port} {\n prefer_udp\n }\n}\n`;
    const resolver = await startResolver(corefile, ["--objects", fixture]);
    const stream = new Stream(resolver.port);
    const client = new Datagrams(resolver.port);
    const names = Array.from({ length: 50 }, (_, i) => `n${i}.example.`);
    for (const name of names) {
      client.send(name);
      stream.send(name);
    }
    await until(async () => slow.seen() >= 100);
    const stopped = resolver.stop();
    for (let i = 0; i < 10; i++) {
      client.send(web);
      await sleep(15);
    }
    assert.equal(await stopped, 0, resolver.log());
    assert.deepEqual([client.replies, stream.replies], [60, 50]);
    client.close();
    stream.close();
    slow.close();
  });

  for (const engine of ["on", "off"]) {
    test(`SIGHUP under load loses no query, UDP and an open TCP connection, engine ${engine}`, async () => {
      const corefile = (ttl: number): string =>
        `.:{PORT} {\n bind 127.0.0.1\n prometheus 127.0.0.1:0\n kubernetes cluster.local {\n ttl ${ttl}\n }\n}\n`;
      const resolver = await startResolver(corefile(5), ["--objects", fixture, "--engine", engine]);
      const { port } = resolver;
      const client = new Datagrams(port);
      const stream = new Stream(port);
      let sent = 0;
      let isOver = false;
      const load = (async () => {
        while (!isOver) {
          for (let i = 0; i < 10; i++) client.send(i % 2 === 0 ? web : `no${sent}.atlas.svc.cluster.local.`);
          stream.send(web);
          sent += 10;
          await sleep(10);
        }
      })();
      for (const ttl of [6, 7, 8, 9, 10]) {
        resolver.configure(corefile(ttl));
        resolver.signal("SIGHUP");
        await until(async () => (await askText(`${web} A`, port)).includes(` ${ttl} A `));
      }
      resolver.configure(".:53 {\n nonsense\n}\n");
      resolver.signal("SIGHUP");
      await until(async () => resolver.log().includes("reload refused, the old configuration goes on"));
      assert.match(resolver.log(), /Corefile:2: nonsense: this plugin is not known/);
      assert.match(await askText(`${web} A`, port), / 10 A /);
      isOver = true;
      await load;
      await until(async () => client.replies >= sent && stream.replies >= sent / 10);
      assert.deepEqual([client.replies, stream.replies], [sent, sent / 10]);
      client.close();
      stream.close();
      assert.equal(await resolver.stop(), 0);
    });
  }
});

/** Answers each query after some time. */
async function slowUpstream(ms: number) {
  const socket = createSocket("udp4");
  let seen = 0;
  socket.on("message", (packet, from) => {
    const decoded = decodeMessage(packet);
    if (decoded.kind !== "message") return;
    seen++;
    const reply = encodeMessage({ ...decoded.message, isResponse: true });
    setTimeout(() => socket.send(reply, from.port, from.address), ms);
  });
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return { port: socket.address().port, seen: () => seen, close: () => socket.close() };
}

class Datagrams {
  readonly #socket = createSocket("udp4");
  readonly #port: number;
  #id = 0;
  replies = 0;

  constructor(port: number) {
    this.#port = port;
    this.#socket.on("message", () => this.replies++);
  }

  send(name: string): void {
    this.#id = (this.#id + 1) % 65_536;
    this.#socket.send(encodeMessage({ ...queryMessage(name), id: this.#id }), this.#port, "127.0.0.1");
  }

  close(): void {
    this.#socket.close();
  }
}

class Stream {
  readonly #socket;
  replies = 0;

  constructor(port: number) {
    this.#socket = connect(port, "127.0.0.1");
    this.#socket.on("error", () => undefined);
    readFrames(this.#socket, () => this.replies++);
  }

  send(name: string): void {
    this.#socket.write(framed(encodeMessage(queryMessage(name))));
  }

  close(): void {
    this.#socket.destroy();
  }
}
