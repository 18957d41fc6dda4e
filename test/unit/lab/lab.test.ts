/** What of the lab needs no namespaces: names, addresses, manifests, the lab's folder, the generator's counts. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { parse } from "yaml";
import { nodeIndex, resolvConf } from "../../../src/lab/addresses.ts";
import { shareLines } from "../../../src/lab/demo/narrator.ts";
import { echoLine } from "../../../src/lab/echo.ts";
import { LabDir } from "../../../src/lab/lab-dir.ts";
import {
  defaultReadiness,
  parseLabels,
  parsePorts,
  parseReadiness,
  podManifest,
} from "../../../src/lab/pod-manifest.ts";
import { hostAddress } from "../../../src/lab/pods.ts";
import { identifyProcess, isAlive } from "../../../src/lab/processes.ts";
import { requirePrograms } from "../../../src/lab/programs.ts";
import { podRouteLines } from "../../../src/lab/topology.ts";
import { generateTraffic } from "../../../src/lab/traffic.ts";

const folder = mkdtempSync(join(tmpdir(), "nodeplane-lab-unit-"));
after(() => rmSync(folder, { recursive: true, force: true }));

suite("arguments of a pod", () => {
  test("ports", () => {
    assert.deepEqual(parsePorts("8080/tcp,53/UDP,9,5/sctp"), [
      { port: 8080, protocol: "TCP" },
      { port: 53, protocol: "UDP" },
      { port: 9, protocol: "TCP" },
      { port: 5, protocol: "SCTP" },
    ]);
    for (const text of ["0", "65536/tcp", "80/icmp", "x", "80/tcp,"]) {
      assert.throws(() => parsePorts(text), { code: "CONFIG_INVALID" }, text);
    }
  });

  test("labels", () => {
    assert.deepEqual(parseLabels("app=web,example.com/a=,b=1"), { app: "web", "example.com/a": "", b: "1" });
    for (const text of ["=x", "a=b=c", "a b=c"])
      assert.throws(() => parseLabels(text), { code: "CONFIG_INVALID" }, text);
  });

  test("readiness", () => {
    assert.deepEqual(parseReadiness("tcp:80"), { kind: "tcp", port: 80 });
    assert.deepEqual(parseReadiness("http:80/a/b"), { kind: "http", port: 80, path: "/a/b" });
    assert.deepEqual(parseReadiness("http:80"), { kind: "http", port: 80, path: "/" });
    assert.deepEqual(parseReadiness("exec:test -e /tmp/a:b"), { kind: "exec", command: "test -e /tmp/a:b" });
    assert.deepEqual(parseReadiness("none"), { kind: "none" });
    for (const text of ["tcp", "tcp:0", "http:/x", "exec:", "grpc:1", ""]) {
      assert.throws(() => parseReadiness(text), { code: "CONFIG_INVALID" }, text);
    }
    assert.deepEqual(defaultReadiness([{ port: 53, protocol: "UDP" }], ["dnsmasq"]), { kind: "none" });
    assert.deepEqual(defaultReadiness([], []), { kind: "tcp", port: 7 });
  });

  test("the manifest names addresses and probe", () => {
    const input = {
      name: "a",
      namespace: "b",
      labels: { app: "x" },
      ports: parsePorts("80"),
      command: [],
      readiness: parseReadiness("tcp:80"),
    };
    const pod = parse(podManifest(input, ["10.244.0.2", "fd00::2"], "/proc/1/ns/net")) as {
      metadata: unknown;
    };
    assert.deepEqual(pod.metadata, {
      name: "a",
      namespace: "b",
      labels: { app: "x" },
      annotations: { "nodeplane.dev/pod-ip": "10.244.0.2,fd00::2", "nodeplane.dev/netns": "/proc/1/ns/net" },
    });
  });
});

suite("addresses and lines", () => {
  test("addresses of a pod range", () => {
    assert.equal(hostAddress("10.244.3.0/24", 2), "10.244.3.2");
    assert.equal(hostAddress("fd00:10:244:3::/64", 254), "fd00:10:244:3::fe");
  });

  test("routes go through the node of the range's family", () => {
    assert.deepEqual(podRouteLines(2, ["10.244.1.0/24", "fd00:10:244:1::/64"], "eth0"), [
      "route replace 10.244.1.0/24 via 192.168.96.12 dev eth0",
      "route replace fd00:10:244:1::/64 via fd00:192:168:96::12 dev eth0",
    ]);
  });

  test("resolv.conf is a pod's", () => {
    const text =
      "nameserver 10.96.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n";
    assert.equal(resolvConf(["10.96.0.10"], "shop"), text);
  });

  test("node names, echo lines, shares", () => {
    assert.deepEqual(["node1", "node12", "node0", "xnode1"].map(nodeIndex), [1, 12, 0, 0]);
    assert.equal(echoLine({ name: "a", node: "node1" }, "::ffff:10.0.0.1"), "a node1 10.0.0.1\n");
    assert.equal(echoLine({ name: "a", node: "node1" }, "fd00::1"), "a node1 fd00::1\n");
    assert.match(shareLines({ a: 1, b: 3 }, 4).join("\n"), /a █+ +25\.0 %\nb █+ +75\.0 %/);
  });
});

suite("the lab's folder", () => {
  test("names are checked", () => {
    for (const name of ["", "A", "a/b", "..", "-a", "x".repeat(33)]) {
      assert.throws(() => new LabDir(name, folder), { code: "CONFIG_INVALID" }, name);
    }
  });

  test("records are read back, and gone when removed", () => {
    const lab = new LabDir("records", join(folder, "base"));
    lab.write({ pid: 1 }, "proc", "node1.agent");
    assert.deepEqual(lab.list("proc"), ["node1.agent"]);
    assert.deepEqual(lab.read("proc", "node1.agent"), { pid: 1 });
    assert.throws(() => lab.require(), { code: "CONFIG_INVALID" });
    lab.remove();
    assert.equal(lab.read("proc", "node1.agent"), undefined);
  });

  test("the lock keeps order and is taken from a dead holder", async () => {
    const lab = new LabDir("lock", folder);
    lab.folder();
    writeFileSync(lab.file("lock"), JSON.stringify({ pid: 4_194_303, startTicks: 1 }));
    const order: string[] = [];
    const work = (name: string) =>
      lab.locked(async () => {
        order.push(`${name} begins`);
        await new Promise((resolve) => setImmediate(resolve));
        order.push(`${name} ends`);
      });
    await Promise.all([work("a"), work("b")]);
    assert.deepEqual(
      order.map((line) => line.slice(2)),
      ["begins", "ends", "begins", "ends"],
    );
  });

  test("a process is known by pid and start", () => {
    const own = identifyProcess(process.pid);
    assert.ok(own !== undefined && isAlive(own));
    assert.equal(isAlive({ ...own, startTicks: own.startTicks + 1 }), false);
  });
});

suite("connection generator", () => {
  test("counts answers by endpoint and failures by code", async (t) => {
    let number = 0;
    const server = createServer((socket) =>
      socket.resume().end(`${number++ % 2 === 0 ? "a" : "b"} node1 127.0.0.1\n`),
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const plan = { protocol: "tcp", parallel: 2, perSecond: 0, timeoutMs: 2000, count: 20 } as const;
    const good = await generateTraffic({ ...plan, targets: [{ host: "127.0.0.1", port }] }, t.signal);
    assert.deepEqual([good.attempts, good.answered, good.failed], [20, 20, 0]);
    assert.deepEqual(Object.keys(good.endpoints), ["a", "b"]);
    assert.deepEqual(good.clients, { "127.0.0.1": 20 });
    await new Promise((resolve) => server.close(resolve));
    const bad = await generateTraffic(
      { ...plan, count: 3, targets: [{ host: "127.0.0.1", port }] },
      t.signal,
    );
    assert.deepEqual([bad.attempts, bad.answered, bad.failed], [3, 0, 3]);
    assert.equal(bad.failures[0]?.code, "ECONNREFUSED");
  });
});

suite("programs of the machine", () => {
  test("all that are missing are named with their packages", () => {
    assert.throws(() => requirePrograms("/nonexistent"), {
      code: "COMMAND_FAILED",
      message:
        "command failed: lab up: unshare, nsenter, ip, nft, dig, curl are not installed: apt-get install util-linux iproute2 nftables bind9-dnsutils curl",
    });
    const folder = mkdtempSync(join(tmpdir(), "nodeplane-programs-"));
    for (const name of ["unshare", "nsenter", "ip", "nft", "curl"]) writeFileSync(join(folder, name), "");
    assert.throws(
      () => requirePrograms(`/nonexistent:${folder}`),
      /lab up: dig is not installed: apt-get install bind9-dnsutils$/,
    );
    writeFileSync(join(folder, "dig"), "");
    requirePrograms(folder);
    rmSync(folder, { recursive: true });
  });
});
