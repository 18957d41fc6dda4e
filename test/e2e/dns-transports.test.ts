/** The resolver over TCP, TLS and HTTPS, asked by real clients (dig, kdig) and by those that misbehave, on loopback. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { encodeMessage } from "../../src/codec/dns/encode.ts";
import { queryMessage } from "../support/dns-query.ts";
import { framed, readFrames } from "../support/dns-stream.ts";
import { block, dig, FIXTURE, has, KUBERNETES, run, withResolver } from "./support/dns.ts";

const folder = mkdtempSync(join(tmpdir(), "nodeplane-dns-transports-"));
after(() => rmSync(folder, { recursive: true, force: true }));

suite("TLS and HTTPS", { skip: !has("kdig") }, () => {
  const files = ["-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")];
  const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=dns.test";
  const names = ["-addext", "subjectAltName=DNS:dns.test,IP:127.0.0.1"];
  const certificate = join(folder, "cert.pem");
  const secure = (scheme: string): string =>
    `${scheme}://.:0 {\n bind 127.0.0.1\n tls ${certificate} ${join(folder, "key.pem")}\n${KUBERNETES}}\n`;
  const kdig = async (port: number, ...args: readonly string[]): Promise<string> =>
    (await run("kdig", ["@127.0.0.1", "-p", String(port), "+short", ...args])).stdout;

  before(() => void spawnSync("openssl", [...request.split(" "), ...names, ...files]));

  test("tls:// with a verified certificate", async () => {
    await withResolver(secure("tls"), ["--objects", FIXTURE], async ({ port }) => {
      const tls = ["+tls", `+tls-ca=${certificate}`, "+tls-hostname=dns.test"];
      assert.equal(await kdig(port, ...tls, "web.atlas.svc.cluster.local"), "10.96.11.20\n");
    });
  });

  test("https:// by POST and GET", async () => {
    await withResolver(secure("https"), ["--objects", FIXTURE], async ({ port }) => {
      for (const how of ["+https=127.0.0.1/dns-query", "+https-get"]) {
        const args = [how, `+tls-ca=${certificate}`, "+tls-hostname=dns.test"];
        assert.equal(await kdig(port, ...args, "web.atlas.svc.cluster.local"), "10.96.11.20\n");
      }
    });
  });

  test("forward to tls://", async () => {
    await withResolver(secure("tls"), ["--objects", FIXTURE], async (upstream) => {
      const lines = ` forward . tls://127.0.0.1%dns.test:${upstream.port} {\n tls ${certificate}\n }\n`;
      await withResolver(block(lines), [], async ({ port }) => {
        assert.equal(await dig(port, "web.atlas.svc.cluster.local", "+short"), "10.96.11.20\n");
      });
      const wrong = lines.replace("%dns.test", "%other.test");
      await withResolver(block(wrong), [], async ({ port }) => {
        assert.match(await dig(port, "web.atlas.svc.cluster.local"), /SERVFAIL/);
      });
    });
  });
});

suite("TCP", () => {
  test("many queries at once on one connection; slow ones do not hold back the others", async () => {
    const silent = createSocket("udp4");
    await new Promise<void>((resolve) => silent.bind(0, "127.0.0.1", resolve));
    const lines = `${KUBERNETES} forward . 127.0.0.1:${silent.address().port} {\n prefer_udp\n read_timeout 500ms\n max_connect_attempts 1\n }\n`;
    try {
      await withResolver(block(lines), ["--objects", FIXTURE], async ({ port }) => {
        const names = ["slow.example.", "web.atlas.svc.cluster.local.", "ring.atlas.svc.cluster.local."];
        const ids = await pipelined(port, names);
        assert.deepEqual(ids, [2, 3, 1]);
      });
    } finally {
      silent.close();
    }
  });

  test("half a query is cut off in time, garbage at once", async () => {
    await withResolver(block(KUBERNETES), ["--objects", FIXTURE], async ({ port }) => {
      const start = performance.now();
      await closed(port, Buffer.from("00ff0001", "hex"));
      assert.ok(performance.now() - start > 2_500);
      await closed(port, Buffer.from("000300010203", "hex"));
      assert.equal(await dig(port, "web.atlas.svc.cluster.local", "+short"), "10.96.11.20\n");
    });
  });
});

/** Sends all at once. @returns identifiers (1 for the first name) in the order of the replies */
function pipelined(port: number, names: readonly string[]): Promise<readonly number[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    const ids: number[] = [];
    socket.on("error", reject);
    socket.write(
      Buffer.concat(names.map((name, i) => framed(encodeMessage({ ...queryMessage(name), id: i + 1 })))),
    );
    readFrames(socket, (message) => {
      ids.push(message.readUInt16BE(0));
      if (ids.length < names.length) return;
      socket.destroy();
      resolve(ids);
    });
  });
}

function closed(port: number, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    const timer = setTimeout(() => reject(new Error("the connection stays open")), 15_000);
    socket.on("error", () => undefined);
    socket.on("close", () => {
      clearTimeout(timer);
      resolve();
    });
    socket.write(bytes);
  });
}
