/**
 * Debian's unbound as the upstream: over UDP, TCP, TLS and HTTPS, dying (SIGKILL) and returning. The resolver notices, serves
 * what it has kept, and goes back by itself.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { until } from "../support/until.ts";
import { type Daemon, hasProgram, NameMachine, NEIGHBOUR } from "./support/name-machine.ts";

const ZONE = [
  'local-zone: "example.net." static',
  'local-data: "www.example.net. 300 A 198.51.100.7"',
  'local-data: "short.example.net. 1 A 198.51.100.8"',
  ...Array.from({ length: 90 }, (_, i) => `local-data: "big.example.net. 300 A 203.0.113.${i + 1}"`),
];

suite("a real upstream", { skip: !hasProgram("unbound") && "unbound is not installed" }, () => {
  let machine: NameMachine;
  let upstream: Daemon;
  let secured: readonly string[] = [];

  before(async () => {
    machine = await NameMachine.open([], { "resolv.conf": `nameserver ${NEIGHBOUR}\n` });
    const [key, certificate] = [join(machine.folder, "key.pem"), join(machine.folder, "cert.pem")];
    const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=up.test";
    const names = ["-addext", `subjectAltName=DNS:up.test,IP:${NEIGHBOUR}`];
    execFileSync("openssl", [...request.split(" "), ...names, "-keyout", key, "-out", certificate], {
      stdio: "ignore",
    });
    secured = [
      `interface: ${NEIGHBOUR}@853`,
      `interface: ${NEIGHBOUR}@443`,
      `tls-service-key: "${key}"`,
      `tls-service-pem: "${certificate}"`,
    ];
    upstream = await machine.unbound([...secured, ...ZONE]);
  });
  after(() => machine.close());

  const configure = (lines: string): Promise<Daemon> =>
    machine.resolver(`.:53 {\n errors\n prometheus 127.0.0.1:9153\n ${lines}\n}\n`);
  const ask = (...args: readonly string[]): Promise<string> => machine.dig("127.0.0.1", ...args);
  const metric = async (pattern: RegExp): Promise<number> => {
    const script = "fetch('http://127.0.0.1:9153/metrics').then(async (r) => console.log(await r.text()))";
    return Number(pattern.exec((await machine.run(process.execPath, "-e", script)).out)?.[1] ?? 0);
  };
  const stop = async (daemon: Daemon): Promise<void> => {
    daemon.signal("SIGTERM");
    assert.equal(await daemon.exited, 0, daemon.log());
  };
  /** A SIGKILL, as a machine that goes away looks; then the same server again. */
  const kill = async (): Promise<void> => {
    upstream.signal("SIGKILL");
    await upstream.exited;
  };
  const revive = async (): Promise<void> => {
    upstream = await machine.unbound([...secured, ...ZONE]);
  };

  const ways: readonly (readonly [string, string])[] = [
    ["UDP", `forward . ${NEIGHBOUR}`],
    ["TCP", `forward . ${NEIGHBOUR} {\n force_tcp\n }`],
    ["TLS", `forward . tls://${NEIGHBOUR} {\n tls CERT\n tls_servername up.test\n }`],
    ["HTTPS, POST", `forward . https://${NEIGHBOUR} {\n tls CERT\n tls_servername up.test\n }`],
    [
      "HTTPS, GET",
      `forward . https://${NEIGHBOUR} {\n tls CERT\n tls_servername up.test\n doh_method GET\n }`,
    ],
    ["a host name", "forward . up.test {\n resolver 192.0.2.53\n }"],
    ["a source address", `forward . ${NEIGHBOUR} {\n source_address 192.0.2.1\n }`],
  ];
  for (const [title, lines] of ways) {
    test(`${title}: answers, empty answers, NXDOMAIN, large answers; the upstream dies and returns`, async () => {
      if (title === "a host name") {
        await kill();
        upstream = await machine.unbound([...secured, ...ZONE, `local-data: "up.test. 60 A ${NEIGHBOUR}"`]);
      }
      const text = lines.replace("CERT", join(machine.folder, "cert.pem"));
      const extra = text.includes("{") ? text.replace("{", "{\n max_fails 1\n health_check 100ms") : text;
      const resolver = await configure(extra);
      if (title === "a host name")
        await until(async () => /198/.test(await ask("www.example.net", "+short")));
      assert.equal(await ask("WWW.Example.net", "+short"), "198.51.100.7\n");
      assert.match(await ask("WWW.Example.net"), /^WWW\.Example\.net\.\s+\d+\s+IN\s+A/m);
      assert.match(await ask("www.example.net", "AAAA"), /NOERROR.*\n.*ANSWER: 0/);
      assert.match(await ask("no.example.net"), /status: NXDOMAIN/);
      assert.equal((await ask("big.example.net", "+short")).trim().split("\n").length, 90);
      await kill();
      assert.match(await ask("www.example.net"), /status: SERVFAIL/);
      assert.match(await ask("www.example.net"), /status: SERVFAIL/);
      await revive();
      await until(async () => (await ask("www.example.net", "+short")) === "198.51.100.7\n");
      await stop(resolver);
    });
  }

  test("a wrong name in the certificate is no upstream", async () => {
    const lines = `forward . tls://${NEIGHBOUR} {\n tls ${join(machine.folder, "cert.pem")}\n tls_servername other.test\n }`;
    const resolver = await configure(lines);
    assert.match(await ask("www.example.net"), /status: SERVFAIL/);
    await stop(resolver);
    assert.match(resolver.log(), /altnames|does not match/);
  });

  test("many queries at once share a few sockets", async () => {
    const resolver = await configure(`forward . ${NEIGHBOUR} {\n force_tcp\n }`);
    const file = join(machine.folder, "queries");
    writeFileSync(file, Array.from({ length: 200 }, (_, i) => `n${i}.example.net A\n`).join(""));
    const { out } = await machine.run("dig", "@127.0.0.1", "-f", file, "+noall", "+comments");
    assert.equal([...out.matchAll(/status: NXDOMAIN/g)].length, 200);
    const opened = await metric(/^coredns_proxy_conn_cache_misses_total\{.*\} (\d+)$/m);
    const kept = await metric(/^coredns_proxy_conn_cache_hits_total\{.*\} (\d+)$/m);
    assert.ok(opened >= 1 && opened <= 3 && kept >= 197, `${opened} opened, ${kept} kept`);
    await stop(resolver);
  });

  test("health checks find the upstream's death and return; serve_stale answers meanwhile", async () => {
    const lines = [
      `forward . ${NEIGHBOUR} {\n max_fails 1\n health_check 100ms\n read_timeout 300ms\n }`,
      "cache 30 {\n serve_stale 1h immediate\n servfail 0\n }",
    ];
    const resolver = await configure(lines.join("\n "));
    assert.equal(await ask("short.example.net", "+short"), "198.51.100.8\n");
    await kill();
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    for (let i = 0; i < 3; i++) assert.equal(await ask("short.example.net", "+short"), "198.51.100.8\n");
    assert.ok((await metric(/^coredns_cache_served_stale_total\{.*\} (\d+)$/m)) >= 3);
    assert.match(await ask("www.example.net"), /SERVFAIL/);
    await until(async () => (await metric(/^coredns_proxy_healthcheck_failures_total\{.*\} (\d+)$/m)) > 0);
    await revive();
    await until(async () => (await ask("www.example.net", "+short")) === "198.51.100.7\n");
    await stop(resolver);
  });
});
