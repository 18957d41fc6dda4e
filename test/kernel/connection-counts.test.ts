/**
 * Connections counted by the frontend maps, with real packets: each once, whatever the frontend, over restarts and changes;
 * nft lists and reloads the maps with what they have counted; a table without counters is exchanged without a refusal.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Server } from "node:net";
import { type TestContext, test } from "node:test";
import type { ServiceConnections } from "../../src/agent/reconcile/service-connections.ts";
import type { FeedObject } from "../../src/model/objects.ts";
import { planText } from "../../src/plan/plan-text.ts";
import { endpoint, nodeConfig, nthIp, service, slice } from "../support/objects.ts";
import { mustIp } from "../support/packet-cases.ts";
import { normalise, TestClock } from "../support/reconcile.ts";
import { insideNamespace, reexecuteInNamespace } from "./netns.ts";
import { NftAgent } from "./nft-agent.ts";

const NODE_ADDRESS = "192.168.0.2";
const VIP = "10.96.0.10";
const VIP6 = "fd00:10:96::10";
const EXTERNAL = "203.0.113.9";
const ENDPOINTS = Array.from({ length: 6 }, (_, i) => nthIp("10.244.0.2", i));
const ENDPOINT6 = "fd00:10:244::2";
const COUNTING = nodeConfig({
  nodeAddresses: [],
  primaryAddresses: [mustIp(NODE_ADDRESS)],
  countConnections: true,
});
const WEB = service("ns/web", {
  type: "NodePort",
  clusterIPs: [VIP, VIP6],
  ports: [{ name: "http", protocol: "TCP", port: 80, nodePort: 30_080 }],
});
const LOCAL = service("ns/local", {
  clusterIPs: ["10.96.0.11"],
  externalIPs: [mustIp(EXTERNAL)],
  externalTrafficPolicy: "Local",
});

const webSlices = (count: number): readonly FeedObject[] => {
  const ports = [{ name: "http", protocol: "TCP", port: 8080 }] as const;
  return [
    slice("ns/web", ENDPOINTS.slice(0, count), { ports }),
    slice("ns/web", [ENDPOINT6], { ports, suffix: "six" }),
  ];
};
const localSlice = slice("ns/local", [endpoint(ENDPOINTS[0] ?? "", { nodeName: "node1" })]);
const OBJECTS = [WEB, ...webSlices(1), LOCAL, localSlice];

function nft(input: string, ...args: string[]): string {
  return execFileSync("nft", args, { input, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"] });
}

async function connections(count: number, host: string, port: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const socket = connect({ host, port });
    await once(socket, "data");
    socket.destroy();
  }
}

class Agent extends NftAgent {
  readonly #clock: TestClock;

  constructor(node = COUNTING, clock = new TestClock()) {
    super({ node, clock });
    this.#clock = clock;
  }

  /** A new reading: `service:port` and connections. */
  counted(): Readonly<Record<string, number>> {
    this.#clock.advance(60_000);
    const text = ({ service: name, port, connections: count }: ServiceConnections) =>
      [`${name}:${port}`, count] as const;
    return Object.fromEntries(this.reconciler.serviceConnections().map(text));
  }
}

async function machine(t: TestContext): Promise<void> {
  const addresses = [...ENDPOINTS, NODE_ADDRESS, "10.244.0.100"].map((ip) => `addr add ${ip}/32 dev lo`);
  const more = [
    "route add 10.96.0.0/12 dev lo",
    `route add ${EXTERNAL}/32 dev lo`,
    `addr add ${ENDPOINT6}/128 dev lo nodad`,
    "route add fd00:10:96::/112 dev lo",
  ];
  execFileSync("ip", ["-batch", "-"], { input: [...addresses, ...more].join("\n") });
  const servers: Server[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.end("here");
  });
  servers.push(server.listen(8080, "::"));
  await once(server, "listening");
  t.after(() => server.close());
}

async function play(t: TestContext): Promise<void> {
  await machine(t);
  let agent = new Agent();
  t.after(() => agent.stop());
  await agent.feed(OBJECTS, true);

  await t.test(
    "each connection once: cluster address, IPv6, node port, policy Local from this node",
    async () => {
      assert.deepEqual(agent.counted(), { "web:http": 0, "local:80": 0 });
      await connections(3, VIP, 80);
      assert.deepEqual(agent.counted(), { "web:http": 3, "local:80": 0 });
      await connections(4, VIP6, 80);
      await connections(5, NODE_ADDRESS, 30_080);
      assert.deepEqual(agent.counted(), { "web:http": 12, "local:80": 0 });
      await connections(2, "10.96.0.11", 80);
      await connections(6, EXTERNAL, 80);
      assert.deepEqual(agent.counted(), { "web:http": 12, "local:80": 8 });
    },
  );

  await t.test("a reading asks the kernel no more often than every two seconds", async () => {
    const before = agent.counted();
    await connections(1, VIP, 80);
    assert.equal(agent.reconciler.serviceConnections().find((one) => one.port === "http")?.connections, 12);
    assert.deepEqual(agent.counted(), { ...before, "web:http": 13 });
  });

  await t.test("totals go on when a service crosses size classes and its elements are replaced", async () => {
    await agent.feed(webSlices(6));
    assert.equal(agent.counted()["web:http"], 13);
    await connections(2, VIP, 80);
    assert.equal(agent.counted()["web:http"], 15);
    await agent.feed(webSlices(1));
    await connections(1, VIP, 80);
    assert.equal(agent.counted()["web:http"], 16);
  });

  await t.test("nft shows them, and its listing loads again with what was counted", () => {
    const listing = nft("", "list", "ruleset");
    assert.match(listing, /10\.96\.0\.11 \. tcp \. 80 counter packets 2 bytes \d+ : goto/);
    nft(`flush ruleset\n${listing}`, "-f", "-");
    assert.equal(nft("", "list", "ruleset"), listing);
  });

  await t.test(
    "a restarted agent takes the maps over without a write, and goes on from what they show",
    async () => {
      const shown = agent.counted();
      agent.stop();
      agent = new Agent();
      const generation = agent.ip.generation();
      await agent.feed(OBJECTS, true);
      assert.equal(agent.ip.generation(), generation);
      assert.equal(agent.counted()["local:80"], shown["local:80"]);
      const first = agent.counted()["web:http"] ?? 0;
      await connections(3, VIP, 80);
      assert.equal(agent.counted()["web:http"], first + 3);
    },
  );

  await t.test("what plan prints is what the agent programs, counters too", async () => {
    const programmed = agent.ip.read();
    agent.stop();
    nft("", "flush", "ruleset");
    nft(planText(OBJECTS, COUNTING, "nftables")?.text ?? "", "-f", "-");
    agent = new Agent();
    const loaded = agent.ip.read();
    assert.ok(programmed !== undefined && loaded !== undefined);
    assert.deepEqual(normalise(loaded), normalise(programmed));
    assert.equal(loaded.sets.get("frontends")?.set.counter, true);
    const generation = agent.ip.generation();
    await agent.feed(OBJECTS, true);
    assert.equal(agent.ip.generation(), generation);
  });

  for (const isCounting of [false, true]) {
    await t.test(
      `the table is exchanged for one ${isCounting ? "with" : "without"} counters; no connection is refused`,
      async () => {
        let isOver = false;
        let made = 0;
        const failures: string[] = [];
        const client = (async () => {
          while (!isOver) {
            made++;
            await connections(1, VIP, 80).catch((error: Error) => failures.push(error.message));
          }
        })();
        agent.stop();
        agent = new Agent({ ...COUNTING, countConnections: isCounting });
        await agent.feed(OBJECTS, true);
        const enough = made + 20;
        while (made < enough) await new Promise((resolve) => setTimeout(resolve, 5));
        isOver = true;
        await client;
        assert.deepEqual(failures, []);
        assert.equal(agent.ip.read()?.sets.get("frontends")?.set.counter ?? false, isCounting);
        assert.equal((agent.counted()["web:http"] ?? 0) > 0, isCounting);
      },
    );
  }
}

if (insideNamespace()) {
  test("connections are counted", play);
} else {
  test("connections are counted by the kernel", () => reexecuteInNamespace(import.meta.filename));
}
