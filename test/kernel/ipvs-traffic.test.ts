/**
 * What is planned for ipvs mode, put into a kernel by the drivers and asked with connections: of a pod, of a client outside
 * and of the node itself. Kernels without ip_vs skip it with the driver's reason.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { test } from "node:test";
import { promisify } from "node:util";
import { LinuxIpvs } from "../../src/drivers/ipvs/index.ts";
import { LinuxNft } from "../../src/drivers/nftables/index.ts";
import { type IpvsOp, ipvsServiceKey } from "../../src/model/ipvs.ts";
import { planIpvs } from "../../src/plan/plan-text.ts";
import { endpoint, nodeConfig, service, slice } from "../support/objects.ts";
import { mustIp } from "../support/packet-cases.ts";
import { PATIENCE } from "../support/patience.ts";
import { insideNamespace, Namespaces, reexecuteInNamespace } from "./netns.ts";

const run = promisify(execFile);

/** Tells each client its address; a pod's program. */
const ECHO =
  "require('net').createServer((s)=>s.end('pod '+s.remoteAddress)).listen(8080,()=>console.log('up'))";
const ASK = `const s=require('net').connect({host:process.argv[1],port:Number(process.argv[2])});
s.setTimeout(8000*Number(process.argv[3]),()=>{console.log('silence');s.destroy()}).on('data',(d)=>console.log(String(d)))
.on('error',(e)=>console.log(e.code))`;

const objects = [
  service("web", { clusterIPs: ["10.96.0.10"] }),
  slice("web", [endpoint("10.244.0.2", { nodeName: "node1" })]),
  service("none", { clusterIPs: ["10.96.0.11"] }),
  service("port", {
    type: "NodePort",
    clusterIPs: ["10.96.0.12"],
    ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 30080 }],
  }),
  slice("port", [endpoint("10.244.0.2", { nodeName: "node1" })]),
];

/** Devices of the node (this namespace), a pod and a client outside. */
function connectAll(spaces: Namespaces): void {
  spaces.add("pod", "ext");
  spaces.batch([
    `link add pod0 type veth peer name eth0 netns ${spaces.name("pod")}`,
    `link add ext0 type veth peer name eth0 netns ${spaces.name("ext")}`,
    "address add 10.244.0.1/24 dev pod0",
    "address add 192.168.0.2/24 dev ext0",
    "link set pod0 up",
    "link set ext0 up",
  ]);
  const far = (address: string, gateway: string) => [
    `address add ${address}/24 dev eth0`,
    "link set eth0 up",
    `route add default via ${gateway}`,
  ];
  spaces.batch(far("10.244.0.2", "10.244.0.1"), "pod");
  spaces.batch(far("192.168.0.9", "192.168.0.2"), "ext");
  for (const name of ["ip_forward", "vs/conntrack"]) writeFileSync(`/proc/sys/net/ipv4/${name}`, "1");
}

async function program(spaces: Namespaces, driver: LinuxIpvs): Promise<void> {
  const node = nodeConfig({ nodeAddresses: ["192.168.0.2", "10.244.0.1", "127.0.0.1"].map(mustIp) });
  const { servers, addresses, nft } = planIpvs(objects, node).states.ip;
  const table = new LinuxNft({ family: "ip", name: "nodeplane-ipvs" });
  assert.deepEqual(table.commit(nft), { kind: "committed" });
  table.close();
  const ops = servers.flatMap(({ service: one, destinations }): IpvsOp[] => [
    { op: "add-service", service: one },
    ...destinations.map((destination): IpvsOp => ({ op: "add-destination", service: one, destination })),
  ]);
  assert.deepEqual(await driver.commit(ops), []);
  spaces.batch([
    "link add kube-ipvs0 type dummy",
    ...addresses.map((address) => `address add ${address}/32 dev kube-ipvs0`),
  ]);
}

/** What this kernel lacks, if it lacks IPVS. */
function missing(): string | undefined {
  const driver = new LinuxIpvs();
  const support = driver.probe("nodeplane-none");
  driver.close();
  return support.kind === "unsupported" && support.needs.includes("ip_vs,") ? support.needs : undefined;
}

if (!insideNamespace()) {
  test("connections through ipvs, in a namespace", (t) => {
    const reason = missing();
    if (reason !== undefined) t.skip(`needs ${reason}`);
    else reexecuteInNamespace(import.meta.filename);
  });
} else {
  test("connections through ipvs", async (t) => {
    const spaces = new Namespaces("ipvs");
    const driver = new LinuxIpvs();
    t.after(() => {
      driver.close();
      spaces.close();
    });
    driver.probe("wrr");
    connectAll(spaces);
    await program(spaces, driver);
    const pod = spaces.spawn("pod", process.execPath, ["-e", ECHO], { stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((resolve) => pod.stdout?.once("data", resolve));
    // A program of the node, on all of its addresses.
    const own = createServer((socket) => socket.end("the node")).listen(2222, "0.0.0.0");
    t.after(() => own.close());
    const ask = async (from: "pod" | "ext" | "node", host: string, port: number) => {
      const command = [process.execPath, "-e", ASK, host, String(port), String(PATIENCE)];
      const inside = from === "node" ? [] : ["netns", "exec", spaces.name(from)];
      const [file = "", ...rest] = inside.length === 0 ? command : ["ip", ...inside, ...command];
      return (await run(file, rest)).stdout.trim();
    };
    const cases = [
      { from: "ext", host: "10.96.0.10", port: 80, want: /^pod ::ffff:10\.244\.0\.1$/, what: "masqueraded" },
      { from: "node", host: "10.96.0.10", port: 80, want: /^pod ::ffff:10\.244\.0\.1$/, what: "of the node" },
      { from: "pod", host: "10.96.0.10", port: 80, want: /^pod ::ffff:10\.244\.0\.1$/, what: "to itself" },
      {
        from: "ext",
        host: "192.168.0.2",
        port: 30080,
        want: /^pod ::ffff:10\.244\.0\.1$/,
        what: "node port",
      },
      { from: "ext", host: "10.96.0.11", port: 80, want: /^ECONNREFUSED$/, what: "no endpoint" },
      {
        from: "node",
        host: "10.96.0.11",
        port: 80,
        want: /^ECONNREFUSED$/,
        what: "no endpoint, of the node",
      },
      { from: "ext", host: "192.168.0.2", port: 2222, want: /^the node$/, what: "the node's own port" },
      {
        from: "ext",
        host: "10.96.0.10",
        port: 2222,
        want: /^ECONNREFUSED$/,
        what: "not by a service address",
      },
      { from: "node", host: "10.96.0.10", port: 2222, want: /^ECONNREFUSED$/, what: "nor of the node" },
    ] as const;
    for (const { from, host, port, want, what } of cases)
      await t.test(`${from} ${host} ${port}: ${what}`, async () => {
        assert.match(await ask(from, host, port), want);
      });
    const [web] = (await driver.read()).filter(({ service: one }) => one.address === "10.96.0.10");
    assert.equal(web?.statistics.connections, 3, "counted");
    assert.equal(driver.readConnections().get(ipvsServiceKey(web.service)), 3);
  });
}
