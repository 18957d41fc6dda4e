/** The Corefiles of kubeadm, k3s and NodeLocal DNSCache start unchanged and serve, on port 53 of a machine of their own. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { hasProgram, NameMachine, NEIGHBOUR } from "./support/name-machine.ts";

const objects = join(import.meta.dirname, "../cases/dns-fixture.yaml");
const shipped = (name: string): string => readFileSync(join(import.meta.dirname, "corefiles", name), "utf8");

const LOCAL = "169.254.20.10";
const CLUSTER_DNS = "10.96.0.10";
const ADDRESSES = [LOCAL, CLUSTER_DNS].map((address) => `${address}/32`);
const ZONE = [
  'local-zone: "example.net." static',
  'local-data: "www.example.net. 300 A 198.51.100.7"',
  'local-data: "7.100.51.198.in-addr.arpa. 300 PTR www.example.net."',
  'local-zone: "51.198.in-addr.arpa." static',
];

suite("Corefiles of distributions", { skip: !hasProgram("unbound") && "unbound is not installed" }, () => {
  let machine: NameMachine;
  beforeEach(async () => {
    machine = await NameMachine.open(ADDRESSES, {
      "resolv.conf": `nameserver ${NEIGHBOUR}\n`,
      "coredns/NodeHosts": "172.31.7.1 node-one\n",
    });
    await machine.unbound(ZONE);
  });
  afterEach(() => machine.close());

  const page = async (url: string): Promise<string> => {
    const fetching = `fetch(${JSON.stringify(url)}).then(async (r) => console.log(r.status, await r.text()))`;
    return (await machine.run(process.execPath, "-e", fetching)).out;
  };

  /** Names of the cluster, reverse names of both, names outside, over UDP and TCP, asked twice (the second time from memory). */
  const serves = async (server: string): Promise<void> => {
    for (const how of ["+notcp", "+tcp", "+notcp"]) {
      const ask = async (...args: readonly string[]): Promise<string> =>
        machine.dig(server, how, ...args, "+short");
      assert.equal(await ask("web.atlas.svc.cluster.local"), "10.96.11.20\n");
      assert.equal(await ask("-x", "10.96.11.20"), "web.atlas.svc.cluster.local.\n");
      assert.equal(await ask("www.example.net"), "198.51.100.7\n");
      assert.equal(await ask("-x", "198.51.100.7"), "www.example.net.\n");
      assert.match(await machine.dig(server, how, "no.atlas.svc.cluster.local"), /status: NXDOMAIN/);
      assert.match(await machine.dig(server, how, "no.example.net"), /status: NXDOMAIN/);
    }
  };

  test("kubeadm", async () => {
    const resolver = await machine.resolver(shipped("kubeadm"), "--objects", objects);
    await serves("127.0.0.1");
    assert.match(
      await machine.dig(CLUSTER_DNS, "web.atlas.svc.cluster.local"),
      /\s30\s+IN\s+A\s+10\.96\.11\.20/,
    );
    assert.equal(
      await machine.dig(CLUSTER_DNS, "10-244-2-51.atlas.pod.cluster.local", "+short"),
      "10.244.2.51\n",
    );
    assert.match(await page("http://127.0.0.1:8080/health"), /^200 OK/);
    assert.match(await page("http://127.0.0.1:8181/ready"), /^200 OK/);
    const metrics = await page("http://127.0.0.1:9153/metrics");
    assert.match(metrics, /coredns_dns_requests_total\{server="dns:\/\/:53",zone="\.",view="",proto="udp"/);
    assert.match(metrics, /coredns_forward_requests_total\{to="192\.0\.2\.53:53"\} [1-9]/);
    assert.doesNotMatch(resolver.log(), /"level":"(error|warn)"/);
  });

  test("k3s: hosts of nodes, nothing to import yet", async () => {
    await machine.resolver(shipped("k3s"), "--objects", objects);
    await serves(CLUSTER_DNS);
    assert.match(await machine.dig(CLUSTER_DNS, "node-one"), /\s30\s+IN\s+A\s+172\.31\.7\.1/);
    assert.match(await page("http://127.0.0.1:8181/ready"), /^200 OK/);
  });

  test("k3s and AKS: overrides and further server blocks from /etc/coredns/custom", async () => {
    machine.put("coredns/custom/log.override", "rewrite name exact old.example.net www.example.net\n");
    machine.put("coredns/custom/stub.server", "stub.test:53 {\n    errors\n    whoami\n}\n");
    await machine.resolver(shipped("k3s"), "--objects", objects);
    await serves(CLUSTER_DNS);
    assert.equal(await machine.dig(CLUSTER_DNS, "old.example.net", "+short"), "198.51.100.7\n");
    assert.match(await machine.dig(CLUSTER_DNS, "a.stub.test"), /_udp\.a\.stub\.test\.\s+0\s+IN\s+SRV/);
  });

  test("NodeLocal DNSCache before a cluster's resolver", async () => {
    const cluster = shipped("kubeadm").replaceAll(":53 {", ":5353 {").replace("/etc/resolv.conf", NEIGHBOUR);
    await machine.resolverThere(cluster, "--objects", objects);
    const values: Readonly<Record<string, string>> = {
      DNS__DOMAIN: "cluster.local",
      LOCAL__DNS: LOCAL,
      DNS__SERVER: CLUSTER_DNS,
      CLUSTER__DNS: `${NEIGHBOUR}:5353`,
      UPSTREAM__SERVERS: "/etc/resolv.conf",
    };
    const text = Object.entries(values).reduce(
      (all, [key, value]) => all.replaceAll(`__PILLAR__${key}__`, value),
      shipped("nodelocal"),
    );
    assert.doesNotMatch(text, /__PILLAR__/);
    await machine.resolver(text);
    await serves(LOCAL);
    await serves(CLUSTER_DNS);
    assert.match(await page(`http://${LOCAL}:8080/health`), /^200 OK/);
    // The cluster block asks over TCP, the root block as the client did.
    assert.match(
      await page("http://127.0.0.1:9253/metrics"),
      /proxy_conn_cache_misses_total\{.*192\.0\.2\.53:5353.*"tcp"\}/,
    );
  });
});
