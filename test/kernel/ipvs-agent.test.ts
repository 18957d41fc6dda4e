/**
 * The agent in ipvs mode, with connections: a thousand go on after their endpoint is removed, a restart with a thousand services
 * changes nothing, what others delete comes back, every change of mode keeps connections, clean-up leaves nothing. Kernels
 * without ip_vs skip it.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { IpvsFigures } from "../../src/agent/reconcile/status.ts";
import { readStatus } from "../../src/agent/status/read-status.ts";
import { LinuxIpvs } from "../../src/drivers/ipvs/index.ts";
import { until as untilHolds } from "../support/until.ts";
import { SocketClient, startServer } from "./ipvs-sockets.ts";
import { insideNamespace, Namespaces, reexecuteInNamespace } from "./netns.ts";

const NODEPLANE = join(import.meta.dirname, "../../bin/nodeplane");
const VIP = "10.96.0.10";
/** A thousand of each; fewer where time is short. */
const SIZE = Number(process.env["NODEPLANE_TEST_SIZE"] ?? "1000");
const [CONNECTIONS, SERVICES] = [SIZE, SIZE];
const folder = mkdtempSync(join(tmpdir(), "nodeplane-ipvs-"));
const objects = join(folder, "objects.json");
const socket = join(folder, "agent.sock");

function service(name: string, clusterIP: string) {
  const spec = { clusterIP, ports: [{ name: "http", port: 80, protocol: "TCP" }] };
  return { apiVersion: "v1", kind: "Service", metadata: { name, namespace: "default" }, spec };
}

function slice(name: string, addresses: readonly string[]) {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${name}-1`, namespace: "default", labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    endpoints: addresses.map((address) => ({
      addresses: [address],
      nodeName: "n1",
      conditions: { ready: true },
    })),
  };
}

/** The service `web` with these endpoints, and others that nobody asks. */
function write(web: readonly string[], others = 0): void {
  const all: unknown[] = [service("web", VIP), slice("web", web)];
  for (let i = 0; i < others; i++) {
    const at = i + 1;
    all.push(service(`s${i}`, `10.97.${at >> 8}.${at & 255}`), slice(`s${i}`, ["10.244.0.2", "10.244.0.3"]));
  }
  writeFileSync(`${folder}/new`, all.map((object) => JSON.stringify(object)).join("\n"));
  renameSync(`${folder}/new`, objects);
}

/** Waits for something that cannot be asked at every moment, and that costs a process: so not too often. */
function until(what: string, done: () => boolean | Promise<boolean>): Promise<void> {
  return untilHolds(async () => {
    try {
      if (await done()) return true;
    } catch {
      // Not yet.
    }
    await delay(200);
    return false;
  }, what);
}

async function programmed() {
  const answer = await readStatus(socket);
  return answer.kind === "status" ? answer.status.programmed : undefined;
}

async function figures(): Promise<IpvsFigures> {
  const found = (await programmed())?.families.find(({ family }) => family === "ip")?.ipvs;
  assert.ok(found, "the agent is in ipvs mode");
  return found;
}

class AgentProcess {
  #child: ChildProcess | undefined;
  #log = "";

  async start(mode: string, ...more: readonly string[]): Promise<void> {
    const args = ["agent", "--objects", objects, "--node-name", "n1", "--proxy-mode", mode, ...more];
    const paths = ["--status-socket", socket, "--state-dir", join(folder, "state"), "--manifest-dir="];
    this.#child = spawn(NODEPLANE, [...args, ...paths], { stdio: ["ignore", "ignore", "pipe"] });
    this.#child.stderr?.on("data", (chunk) => {
      this.#log = (this.#log + String(chunk)).slice(-20_000);
    });
    await until(
      `agent in mode ${mode}:\n${this.#log}`,
      async () => (await programmed())?.programmed === true,
    );
  }

  /** Waits until what was written last is in the kernel. */
  async took(endpoints: number): Promise<void> {
    await until("the change", async () => {
      const now = await programmed();
      return now?.endpoints === endpoints && now.pendingSinceMs === undefined;
    });
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    child.kill("SIGTERM");
    await new Promise((resolve) => child.once("exit", resolve));
    assert.equal(child.exitCode, 0, this.#log);
  }

  kill(): void {
    this.#child?.kill("SIGKILL");
  }
}

/** Devices of the node (this namespace), two pods and a client outside. */
function connectAll(spaces: Namespaces): void {
  spaces.add("a", "b", "ext");
  spaces.batch([
    "link add br0 type bridge",
    "link set br0 up",
    "address add 10.244.0.1/24 dev br0",
    ...["a", "b"].flatMap((pod) => [
      `link add pod${pod} type veth peer name eth0 netns ${spaces.name(pod)}`,
      `link set pod${pod} master br0 up`,
    ]),
    `link add ext0 type veth peer name eth0 netns ${spaces.name("ext")}`,
    "address add 192.168.0.2/24 dev ext0",
    "link set ext0 up",
  ]);
  const far = (address: string, gateway: string) => [
    `address add ${address}/24 dev eth0`,
    "link set eth0 up",
    `route add default via ${gateway}`,
  ];
  spaces.batch(far("10.244.0.2", "10.244.0.1"), "a");
  spaces.batch(far("10.244.0.3", "10.244.0.1"), "b");
  spaces.batch(far("192.168.0.9", "192.168.0.2"), "ext");
}

/** What this kernel lacks, if it lacks IPVS. */
function missing(): string | undefined {
  const driver = new LinuxIpvs();
  const support = driver.probe("nodeplane-none");
  driver.close();
  return support.kind === "unsupported" && support.needs.includes("ip_vs,") ? support.needs : undefined;
}

function hasDevice(): boolean {
  return execFileSync("ip", ["-o", "link"], { encoding: "utf8" }).includes("kube-ipvs0");
}

function tables(): string {
  return execFileSync("nft", ["list", "tables"], { encoding: "utf8" });
}

if (!insideNamespace()) {
  test("the agent in ipvs mode, in a namespace", (t) => {
    const reason = missing();
    if (reason !== undefined) t.skip(`needs ${reason}`);
    else reexecuteInNamespace(import.meta.filename);
  });
} else {
  test("the agent in ipvs mode", async (t) => {
    const spaces = new Namespaces("ia");
    const agent = new AgentProcess();
    const driver = new LinuxIpvs();
    t.after(() => {
      agent.kill();
      driver.close();
      spaces.close();
      rmSync(folder, { recursive: true, force: true });
    });
    connectAll(spaces);
    await startServer(spaces, "a");
    await startServer(spaces, "b");
    const client = await SocketClient.start(spaces, "ext", VIP);
    const weights = async () =>
      (await driver.read())
        .filter(({ service: { address } }) => address === VIP)
        .flatMap(({ destinations }) => destinations.map(({ address, weight }) => `${address}=${weight}`))
        .sort();

    await t.test(
      "a thousand connections go on after their endpoint is removed, new ones go elsewhere",
      async () => {
        write(["10.244.0.2"]);
        await agent.start("ipvs");
        assert.deepEqual(await client.open(CONNECTIONS), { a: CONNECTIONS });
        write(["10.244.0.3"]);
        await until("the new endpoint", async () => (await weights()).includes("10.244.0.3=1"));
        assert.deepEqual(await weights(), ["10.244.0.2=0", "10.244.0.3=1"]);
        assert.deepEqual(await client.fresh(20), { b: 20 }, "at once");
        for (let round = 0; round < 3; round++) assert.deepEqual(await client.exchange(), { a: CONNECTIONS });
        assert.equal((await figures()).draining, 1);
      },
    );

    await t.test(
      "a restart with a thousand services changes no destination and loses no connection",
      async () => {
        write(["10.244.0.3"], SERVICES);
        await agent.took(2 * SERVICES + 1);
        // A destination that was deleted and added would count its connections from zero.
        const state = async () =>
          (await driver.read()).map(({ service: one, destinations }) => ({
            one,
            destinations: destinations.map(({ address, port, weight, activeConnections, statistics }) => ({
              ...{ address, port, weight, activeConnections },
              connections: statistics.connections,
            })),
          }));
        const before = await state();
        assert.equal(before.length, SERVICES + 1);
        await agent.stop();
        assert.deepEqual(await client.exchange(), { a: CONNECTIONS }, "while no agent runs");
        await agent.start("ipvs");
        assert.deepEqual(await state(), before);
        const { serverOperations, draining } = await figures();
        assert.deepEqual({ serverOperations, draining }, { serverOperations: 0, draining: 1 });
        assert.deepEqual(await client.exchange(), { a: CONNECTIONS });
        await client.reset();
        await until(
          "the drained endpoint to go",
          async () => !(await weights()).some((line) => line.endsWith("=0")),
        );
        await agent.stop();
      },
    );

    await t.test("what somebody deletes comes back", async () => {
      write(["10.244.0.2", "10.244.0.3"]);
      await agent.start("ipvs", "--ipvs-sync-period=1s");
      await until("old services to go", async () => (await driver.read()).length === 1);
      const asks = async () => Object.keys(await client.fresh(8)).sort();
      assert.deepEqual(await asks(), ["a", "b"]);
      execFileSync("ip", ["link", "del", "kube-ipvs0"]);
      await until("the device", async () => (await asks()).length === 2);
      for (const { service: one } of await driver.read())
        await driver.commit([{ op: "delete-service", service: one }]);
      await until("virtual servers", async () => (await asks()).length === 2);
      execFileSync("nft", ["delete", "table", "ip", "nodeplane-ipvs"]);
      // Without it this namespace tracks no connections, and one that begins now would be a stranger later.
      const frontends = ["list", "set", "ip", "nodeplane-ipvs", "frontends"];
      await until("the table", () => spawnSync("nft", frontends, { encoding: "utf8" }).stdout.includes(VIP));
      assert.deepEqual(await asks(), ["a", "b"]);
    });

    await t.test("a removed service keeps its connections; its address takes no new ones", async () => {
      assert.equal(Object.values(await client.open(10)).length, 2);
      writeFileSync(objects, "");
      await agent.took(0);
      assert.deepEqual(await client.fresh(3), { ECONNREFUSED: 3 });
      assert.deepEqual(await client.exchange(), { a: 5, b: 5 });
      await client.reset();
      await until("the address to go", () => !execFileSync("ip", ["-o", "address"]).includes(`${VIP}/32`));
      assert.deepEqual(await driver.read(), []);
    });

    for (const [from, to] of [
      ["ipvs", "nftables"],
      ["nftables", "ipvs"],
      ["ipvs", "iptables"],
      ["iptables", "ipvs"],
    ] as const)
      await t.test(`from ${from} to ${to}: connections go on, the old mode's objects go`, async () => {
        write(["10.244.0.2", "10.244.0.3"]);
        if (from === "ipvs") await agent.took(2);
        const opened = await client.open(20);
        assert.equal((opened["a"] ?? 0) + (opened["b"] ?? 0), 20);
        await agent.stop();
        await agent.start(to);
        assert.deepEqual(await client.exchange(), opened);
        const fresh = await client.fresh(10);
        assert.equal((fresh["a"] ?? 0) + (fresh["b"] ?? 0), 10);
        await client.reset();
        const isGone = () => {
          if (from === "nftables") return !/ip nodeplane\n/.test(tables());
          if (from === "iptables")
            return !execFileSync("iptables-save", { encoding: "utf8" }).includes("KUBE-SERVICES");
          return !hasDevice() && !tables().includes("nodeplane-ipvs");
        };
        await until(`what mode ${from} had`, isGone);
        if (from === "ipvs") assert.deepEqual(await driver.read(), []);
      });

    await t.test("clean-up removes what is ours, and nothing else", async () => {
      const foreign = {
        family: "ip",
        protocol: 6,
        port: 80,
        scheduler: "rr",
        flags: 0,
        timeoutSeconds: 0,
      } as const;
      const [own] = await driver.read();
      assert.ok(own, "there is something to remove");
      const other = { ...foreign, address: "192.0.2.1" as typeof own.service.address };
      assert.deepEqual(await driver.commit([{ op: "add-service", service: other }]), []);
      await agent.stop();
      const options = ["--state-dir", join(folder, "state"), "--socket", socket];
      const output = execFileSync(NODEPLANE, ["cleanup", ...options], { encoding: "utf8" });
      assert.match(output, /ipvs: virtual servers, device and tables removed/);
      assert.match(output, /net\.ipv4\.vs\.conntrack = 1 +echo 0 > /);
      assert.deepEqual(
        (await driver.read()).map(({ service: one }) => one.address),
        ["192.0.2.1"],
      );
      assert.deepEqual([hasDevice(), tables().includes("nodeplane")], [false, false]);
    });
  });
}
