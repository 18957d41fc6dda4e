/** The authority and what it issues: real TLS handshakes, renewal, damaged files. */
import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { connect, createServer, type TLSSocket } from "node:tls";
import { certificateCommand } from "../../../src/cli/certificate.ts";
import { issueNodeCertificate, Pki, serverNames } from "../../../src/control-plane/pki/pki.ts";

const DAY_MS = 86_400_000;
const START = Date.UTC(2026, 0, 1);
let dataDir = "";
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "np-pki-"));
});
afterEach(() => rmSync(dataDir, { recursive: true }));

const open = async (more: { nowMs?: number; ip?: string } = {}): Promise<Pki> =>
  await Pki.open({
    dataDir,
    dnsNames: serverNames("cluster.local"),
    ipAddresses: ["10.96.0.1", "fd00:10:96::1", more.ip ?? "127.0.0.1"],
    serverUrl: "https://127.0.0.1:6443",
    now: () => more.nowMs ?? Date.now(),
  });
const file = (name: string): string => readFileSync(join(dataDir, name), "utf8");

suite("pki", () => {
  test("first start makes everything, keys are private, a second start changes nothing", async () => {
    const pki = await open();
    const before = ["pki/ca.crt", "pki/ca.key", "pki/server.crt", "pki/admin.crt", "admin.kubeconfig"].map(
      file,
    );
    for (const name of ["pki/ca.key", "pki/server.key", "pki/admin.key", "admin.kubeconfig"])
      assert.equal(statSync(join(dataDir, name)).mode & 0o777, 0o600, name);
    const again = await open();
    assert.equal(again.server.certificatePem, pki.server.certificatePem);
    assert.equal(await again.renew(), false);
    assert.deepEqual(
      ["pki/ca.crt", "pki/ca.key", "pki/server.crt", "pki/admin.crt", "admin.kubeconfig"].map(file),
      before,
    );
    const admin = new X509Certificate(file("pki/admin.crt"));
    assert.equal(admin.subject, "O=system:masters\nCN=admin");
    assert.ok(admin.verify(new X509Certificate(pki.authorityPem).publicKey));
    const server = new X509Certificate(pki.server.certificatePem);
    for (const name of ["localhost", "kubernetes.default.svc.cluster.local"])
      assert.ok(server.checkHost(name), name);
    for (const ip of ["10.96.0.1", "fd00:10:96::1", "127.0.0.1"]) assert.ok(server.checkIP(ip), ip);
  });

  test("mutual TLS works and tells the node's name; another authority's node is refused", async () => {
    const pki = await open();
    const { node } = await issueNodeCertificate(dataDir, "n1");
    const peers: string[] = [];
    const server = createServer(
      {
        ca: pki.authorityPem,
        cert: pki.server.certificatePem,
        key: pki.server.keyPem,
        requestCert: true,
        rejectUnauthorized: true,
      },
      (socket: TLSSocket) => {
        peers.push(String(socket.getPeerCertificate().subject.CN));
        socket.end("hello");
      },
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    const talk = (cert: string, key: string) =>
      new Promise<string>((resolve) => {
        const socket = connect({ port: address.port, host: "127.0.0.1", ca: pki.authorityPem, cert, key });
        socket.on("data", (data) => resolve(String(data)));
        socket.on("error", (error) => resolve(error.message));
        socket.on("close", () => resolve("closed"));
      });
    assert.equal(await talk(node.certificatePem, node.keyPem), "hello");
    assert.deepEqual(peers, ["system:node:n1"]);

    const other = mkdtempSync(join(tmpdir(), "np-pki-"));
    await Pki.open({ dataDir: other, dnsNames: [], ipAddresses: [], serverUrl: "https://x" });
    const foreign = await issueNodeCertificate(other, "n1");
    assert.notEqual(await talk(foreign.node.certificatePem, foreign.node.keyPem), "hello");
    rmSync(other, { recursive: true });
    server.close();
  });

  test("near its end the server's certificate is renewed, and the authority with the same key", async () => {
    const first = await open({ nowMs: START });
    const oldAuthority = first.authorityPem;
    assert.equal(
      (await open({ nowMs: START + 300 * DAY_MS })).server.certificatePem,
      first.server.certificatePem,
    );
    const later = await open({ nowMs: START + 320 * DAY_MS });
    assert.notEqual(later.server.certificatePem, first.server.certificatePem);
    assert.equal(later.authorityPem, oldAuthority);
    const old = await issueNodeCertificate(dataDir, "n1", { nowMs: START });
    const decade = await open({ nowMs: START + 3300 * DAY_MS });
    assert.notEqual(decade.authorityPem, oldAuthority);
    const key = new X509Certificate(decade.authorityPem).publicKey;
    assert.ok(new X509Certificate(old.node.certificatePem).verify(key));
  });

  test("other names, damaged or foreign files: a new server certificate; a lost authority key is an error", async () => {
    const first = await open();
    const moved = await open({ ip: "192.0.2.7" });
    assert.ok(new X509Certificate(moved.server.certificatePem).checkIP("192.0.2.7"));
    writeFileSync(join(dataDir, "pki/server.crt"), "nonsense");
    assert.notEqual((await open()).server.certificatePem, first.server.certificatePem);
    const key = file("pki/admin.key");
    writeFileSync(join(dataDir, "pki/server.key"), key);
    const mended = await open();
    assert.ok(
      new X509Certificate(mended.server.certificatePem).checkPrivateKey(
        createPrivateKey(mended.server.keyPem),
      ),
    );
    rmSync(join(dataDir, "pki/ca.key"));
    await assert.rejects(open(), { code: "FILE_UNREADABLE" });
  });
});

suite("certificate command", () => {
  const run = async (...args: string[]) => {
    let out = "";
    const io = {
      out: (text: string) => (out += text),
      err: () => undefined,
      isTerminal: false,
      env: {},
      signal: AbortSignal.timeout(10_000),
    };
    const status = await certificateCommand(args, io);
    return { status, out };
  };

  test("writes certificate, key and configuration", async () => {
    await open();
    const folder = join(dataDir, "out");
    const { status } = await run("node", "n1", "--data-dir", dataDir, "--out", folder, "--server", "cp:6444");
    assert.equal(status, 0);
    assert.equal(new X509Certificate(file("out/node.crt")).subject, "O=system:nodes\nCN=system:node:n1");
    assert.equal(statSync(join(folder, "node.key")).mode & 0o777, 0o600);
    assert.match(
      file("out/agent.yaml"),
      /hostnameOverride: n1\n---\n[\s\S]*address: cp:6444\n {2}caFile: \/etc\/nodeplane\/pki\/ca\.crt/,
    );
    assert.match(file("out/dns.flags"), /^--control-plane=cp:6444 --ca-file=/);
  });

  const rows: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["no authority", ["node", "n1", "--data-dir", "/nonexistent"], /there is no certificate authority yet/],
    ["bad name", ["node", "N 1"], /NAME must be a DNS name/],
    ["other thing", ["user", "x"], /say 'certificate node NAME'/],
    ["bad server", ["node", "n1", "--server", "x"], /--server must be HOST:PORT/],
    ["bad days", ["node", "n1", "--days", "0"], /--days must be/],
    ["unknown flag", ["node", "n1", "--dayz", "0"], /--dayz/],
  ];
  for (const [name, args, message] of rows)
    test(`${name} is one clear error`, async () => {
      await assert.rejects(run(...args), { name: "NodeplaneError", message });
    });
});
