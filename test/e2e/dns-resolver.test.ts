/** The resolver as a process, asked by real clients (dig, kdig), on loopback. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { decodeMessage } from "../../src/codec/dns/decode.ts";
import { encodeMessage } from "../../src/codec/dns/encode.ts";
import { startResolver } from "../dns-cases/resolver-process.ts";
import { startUpstream } from "../dns-cases/upstream-stub.ts";
import { queryMessage } from "../support/dns-query.ts";
import { until } from "../support/until.ts";
import { block, dig, FIXTURE, has, KUBERNETES, run, withResolver } from "./support/dns.ts";

const root = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "nodeplane-dns-e2e-"));
after(() => rmSync(folder, { recursive: true, force: true }));

suite("real clients", () => {
  test("dig over UDP and TCP: addresses, SRV, PTR, NXDOMAIN, truncation and the retry over TCP", async () => {
    await withResolver(block(KUBERNETES), ["--objects", FIXTURE], async ({ port }) => {
      assert.equal(await dig(port, "web.atlas.svc.cluster.local", "+short"), "10.96.11.20\n");
      assert.equal(
        await dig(port, "+tcp", "twin.atlas.svc.cluster.local", "AAAA", "+short"),
        "fd00:10:96::b22\n",
      );
      assert.equal(
        await dig(port, "_http._tcp.web.atlas.svc.cluster.local", "SRV", "+short"),
        "0 100 80 web.atlas.svc.cluster.local.\n",
      );
      assert.equal(await dig(port, "-x", "10.96.11.20", "+short"), "web.atlas.svc.cluster.local.\n");
      assert.match(await dig(port, "ghost.atlas.svc.cluster.local"), /status: NXDOMAIN/);
      assert.match(
        await dig(port, "+noedns", "+ignore", "tall.borealis.svc.cluster.local"),
        /flags: qr aa tc/,
      );
      const whole = await dig(port, "+noedns", "tall.borealis.svc.cluster.local", "+short");
      assert.equal(whole.trim().split("\n").length, 64);
    });
  });

  test("kdig: several queries on one connection", { skip: !has("kdig") }, async () => {
    await withResolver(block(KUBERNETES), ["--objects", FIXTURE], async ({ port }) => {
      const ask = ["@127.0.0.1", "-p", String(port), "+tcp", "+keepopen"];
      const { stdout } = await run("kdig", [
        ...ask,
        "WeB.AtLaS.svc.cluster.local",
        "ring.atlas.svc.cluster.local",
      ]);
      assert.match(stdout, /web\.atlas\.svc\.cluster\.local\.\s+5\s+IN\s+A\s+10\.96\.11\.20/);
      assert.equal([...stdout.matchAll(/ring\.atlas\.svc\.cluster\.local\.\s+5\s+IN\s+A/g)].length, 3);
    });
  });

  test("Node's own resolver (c-ares)", async () => {
    const { Resolver } = await import("node:dns/promises");
    await withResolver(block(KUBERNETES), ["--objects", FIXTURE], async ({ port }) => {
      const resolver = new Resolver({ timeout: 2000, tries: 1 });
      resolver.setServers([`127.0.0.1:${port}`]);
      assert.deepEqual(await resolver.resolve4("web.atlas.svc.cluster.local"), ["10.96.11.20"]);
      assert.equal((await resolver.resolveSrv("_peer._tcp.ring.atlas.svc.cluster.local")).length, 3);
      assert.deepEqual(await resolver.reverse("10.244.2.51"), ["ring-1.ring.atlas.svc.cluster.local"]);
    });
  });
});

suite("data that changes", () => {
  test("a service that appears in the object file is answered without a restart", async () => {
    const path = join(folder, "objects.yaml");
    const text = readFileSync(FIXTURE, "utf8");
    writeFileSync(path, text);
    await withResolver(block(KUBERNETES), ["--objects", path], async ({ port }) => {
      assert.equal(await dig(port, "web.atlas.svc.cluster.local", "+short"), "10.96.11.20\n");
      writeFileSync(path, text.replaceAll("10.96.11.20", "10.96.11.99"));
      await until(async () => (await dig(port, "web.atlas.svc.cluster.local", "+short")) === "10.96.11.99\n");
      assert.match(await dig(port, "-x", "10.96.11.20"), /NXDOMAIN/);
    });
  });
});

suite("forwarding", () => {
  const content = [
    { name: "a.example.", type: "A", ttl: 60, data: "192.0.2.1" },
    {
      name: "big.example.",
      type: "TXT",
      ttl: 60,
      data: `"${"x".repeat(250)}" "${"y".repeat(250)}" "${"z".repeat(250)}"`,
    },
  ];

  test("another upstream is asked when one is silent, and the first again when it is back", async () => {
    const silent = createSocket("udp4");
    await new Promise<void>((resolve) => silent.bind(0, "127.0.0.1", resolve));
    const upstream = await startUpstream(content);
    const options = "{\n policy sequential\n read_timeout 200ms\n max_fails 1\n health_check 100ms\n }";
    const lines = ` forward . 127.0.0.1:${silent.address().port} 127.0.0.1:${upstream.port} ${options}\n`;
    let asked = 0;
    let isBack = false;
    silent.on("message", (packet, from) => {
      const decoded = decodeMessage(packet);
      if (decoded.kind !== "message") return;
      if (decoded.message.questions[0]?.name === "a.example.") asked++;
      const reply = encodeMessage({ ...decoded.message, isResponse: true, rcode: 3 });
      if (isBack) silent.send(reply, from.port, from.address);
    });
    try {
      await withResolver(block(lines), [], async ({ port }) => {
        const isLeftOut = async (): Promise<boolean> => {
          const before = asked;
          assert.equal(await dig(port, "a.example", "+short"), "192.0.2.1\n");
          return asked === before;
        };
        await until(isLeftOut, "the silent upstream is left out");
        isBack = true;
        await until(async () => (await dig(port, "a.example")).includes("NXDOMAIN"));
      });
    } finally {
      silent.close();
      upstream.close();
    }
  });

  test("replies with a foreign identifier or question are ignored", async () => {
    const forger = createSocket("udp4");
    forger.on("message", (packet, from) => {
      const decoded = decodeMessage(packet);
      if (decoded.kind !== "message") return;
      const { message } = decoded;
      const reply = { ...message, isResponse: true };
      const send = (bytes: Buffer): void => forger.send(bytes, from.port, from.address);
      send(encodeMessage({ ...reply, rcode: 3, id: (message.id + 1) & 0xffff }));
      send(encodeMessage({ ...reply, rcode: 3, questions: [{ name: "evil.example.", type: 1, class: 1 }] }));
      send(encodeMessage({ ...reply, rcode: 5 }));
    });
    await new Promise<void>((resolve) => forger.bind(0, "127.0.0.1", resolve));
    try {
      await withResolver(block(` forward . 127.0.0.1:${forger.address().port}\n`), [], async ({ port }) => {
        assert.match(await dig(port, "a.example"), /status: REFUSED/);
      });
    } finally {
      forger.close();
    }
  });

  test("TC from upstream reaches the client, whose TCP query goes upstream over TCP; prefer_udp spares it that", async () => {
    const upstream = await startUpstream(content);
    try {
      const forwarding = (options: string): string =>
        block(` forward . 127.0.0.1:${upstream.port} ${options}\n`);
      await withResolver(forwarding(""), [], async ({ port }) => {
        assert.match(await dig(port, "+noedns", "big.example", "TXT", "+short"), /"x+" "y+" "z+"/);
      });
      await withResolver(forwarding("{\n force_tcp\n }"), [], async ({ port }) => {
        assert.equal(await dig(port, "a.example", "+short"), "192.0.2.1\n");
      });
    } finally {
      upstream.close();
    }
  });

  test("through a second resolver of ours, cached", async () => {
    const upstream = await startUpstream(content);
    await withResolver(block(` forward . 127.0.0.1:${upstream.port}\n`), [], async (outer) => {
      const lines = ` cache 30\n loop\n forward . 127.0.0.1:${outer.port}\n${KUBERNETES}`;
      await withResolver(block(lines), ["--objects", FIXTURE], async ({ port }) => {
        assert.match(await dig(port, "a.example"), /a\.example\.\s+30\s+IN\s+A\s+192\.0\.2\.1/);
        upstream.close();
        assert.match(await dig(port, "A.Example"), /A\.Example\.\s+\d+\s+IN\s+A\s+192\.0\.2\.1/);
        assert.equal(await dig(port, "web.atlas.svc.cluster.local", "+short"), "10.96.11.20\n");
      });
    });
  });

  test("a loop is noticed: forwarding stops, names of the cluster go on", async () => {
    const corefile = `.:{PORT} {\n bind 127.0.0.1\n errors\n loop\n forward . 127.0.0.1:{PORT}\n${KUBERNETES}}\n`;
    await withResolver(corefile, ["--objects", FIXTURE], async (resolver) => {
      await until(async () => resolver.log().includes("lead back to this server"));
      assert.match(await dig(resolver.port, "a.example"), /SERVFAIL/);
      assert.equal(await dig(resolver.port, "web.atlas.svc.cluster.local", "+short"), "10.96.11.20\n");
    });
  });
});

suite("life of the process", () => {
  test("reload by SIGHUP loses no query; a bad Corefile changes nothing", async () => {
    const corefile = (ttl: number): string =>
      `.:{PORT} {\n bind 127.0.0.1\n errors\n kubernetes cluster.local {\n ttl ${ttl}\n }\n}\n`;
    await withResolver(corefile(5), ["--objects", FIXTURE], async (resolver) => {
      const { port } = resolver;
      const asking = askInLoop(port, 60);
      for (const ttl of [6, 7, 8]) {
        resolver.configure(corefile(ttl));
        resolver.signal("SIGHUP");
        await until(
          async () =>
            (await dig(port, "web.atlas.svc.cluster.local")).match(new RegExp(`\\s${ttl}\\sIN`)) !== null,
        );
      }
      resolver.configure(`${corefile(9)}}`);
      resolver.signal("SIGHUP");
      await until(async () => resolver.log().includes("reload refused"));
      assert.match(await dig(port, "web.atlas.svc.cluster.local"), /\s8\sIN/);
      assert.equal(await asking, 0);
    });
  });

  test("SIGTERM: /ready says 503 and queries are answered for the lameduck time, exit 0", async () => {
    const lines = ` health 127.0.0.1:0 {\n lameduck 700ms\n }\n ready 127.0.0.1:0\n${KUBERNETES}`;
    const resolver = await startResolver(block(lines), ["--objects", FIXTURE]);
    const page = async (path: string): Promise<number> =>
      (await fetch(`http://${resolver.http[0]}${path}`)).status;
    assert.deepEqual([await page("/health"), await page("/ready"), await page("/other")], [200, 200, 404]);
    const start = performance.now();
    const stopped = resolver.stop();
    await until(async () => (await page("/ready")) === 503);
    assert.equal(await page("/health"), 200);
    assert.equal(await dig(resolver.port, "web.atlas.svc.cluster.local", "+short"), "10.96.11.20\n");
    assert.equal(await stopped, 0);
    assert.ok(performance.now() - start >= 690);
  });

  test("bad flags and bad Corefiles: exit 2 and one line", () => {
    const path = join(folder, "bad");
    const call = (...args: readonly string[]) => {
      const result = spawnSync(join(root, "bin/nodeplane"), ["dns", ...args], {
        encoding: "utf8",
        timeout: 120_000,
      });
      return `${result.status} ${result.stderr}`;
    };
    writeFileSync(path, ".:0 {\n forwrad . 1.1.1.1\n}\n");
    assert.match(call("-conf", path), /^2 nodeplane dns: invalid configuration: .*bad:2: forwrad: .*\n$/);
    assert.match(call("--check", "-conf", path), /^2 .*forwrad/);
    assert.match(call("--nope"), /^2 .*--nope: unknown flag.*\n$/);
    assert.match(call("-conf", "/nowhere"), /^2 .*\/nowhere.*\n$/);
    assert.match(call("-dns.port", "70000"), /^2 .*allowed: 0 to 65535\n$/);
    writeFileSync(path, ".:0 {\n whoami\n}\n");
    assert.match(call("--check", "-conf", path), /^0 /);
    assert.match(call("-conf", path, "--objects", "/nowhere"), /^2 .*\/nowhere/);
  });

  test("an address that is taken: exit 2 and the address", async () => {
    const taken = createSocket("udp4");
    await new Promise<void>((resolve) => taken.bind(0, "127.0.0.1", resolve));
    const { port } = taken.address();
    await assert.rejects(startResolver(`.:${port} {\n bind 127.0.0.1\n whoami\n}\n`, []), /EADDRINUSE/);
    await assert.rejects(startResolver(`.:${port} {\n whoami\n}\n`, []), /EADDRINUSE/);
    taken.close();
  });
});

/** @returns how many of the queries got no reply */
async function askInLoop(port: number, count: number): Promise<number> {
  const socket = createSocket("udp4");
  let replies = 0;
  socket.on("message", () => replies++);
  for (let i = 0; i < count; i++) {
    socket.send(encodeMessage(queryMessage("web.atlas.svc.cluster.local.")), port, "127.0.0.1");
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
  await new Promise((resolve) => setTimeout(resolve, 200));
  socket.close();
  return count - replies;
}
