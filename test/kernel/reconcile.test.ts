/** The reconciler on the real kernel: constants, listing, adoption, repair, and connections that never fail. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createConnection, createServer } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { LinuxNft } from "../../src/drivers/nftables/index.ts";
import type { FeedObject } from "../../src/model/objects.ts";
import { planText } from "../../src/plan/plan-text.ts";
import { endpoint, nodeConfig, nthIp, service, slice } from "../support/objects.ts";
import { mustCidr, mustIp } from "../support/packet-cases.ts";
import { normalise } from "../support/reconcile.ts";
import { until } from "../support/until.ts";
import { insideNamespace, reexecuteInNamespace } from "./netns.ts";
import { NftAgent } from "./nft-agent.ts";

const CLUSTER = ["10.96.0.0/12", "fd00:10:96::/112"].map(mustCidr);

function nft(args: readonly string[], input = ""): string {
  return execFileSync("nft", args, { input, encoding: "utf8", maxBuffer: 256 << 20 });
}

const CIDRS: FeedObject = {
  kind: "ServiceCIDR",
  meta: { namespace: "", name: "kubernetes", uid: "", creationTimestampMs: 0, labels: {}, annotations: {} },
  cidrs: CLUSTER,
};

/** Services of every type in both families: number `i` of them. */
function everyType(i: number): FeedObject[] {
  const kinds = ["ClusterIP", "NodePort", "LoadBalancer"] as const;
  const type = kinds[i % 3] ?? "ClusterIP";
  const name = `ns/svc${i}`;
  const external = i % 2 === 0 ? "Cluster" : "Local";
  const clusterIPs = [nthIp("10.96.0.1", i), `fd00:10:96::${(i + 1).toString(16)}`];
  const local = { nodeName: i % 4 === 0 ? "elsewhere" : "node1" };
  const empty = i % 5 === 4;
  return [
    service(name, {
      type,
      clusterIPs,
      ports: [
        { name: "", protocol: "TCP", port: 80, nodePort: type === "ClusterIP" ? 0 : 30_000 + (i % 32_768) },
      ],
      externalTrafficPolicy: external,
      internalTrafficPolicy: i % 7 === 0 ? "Local" : "Cluster",
      externalIPs: i % 11 === 0 ? [mustIp(nthIp("198.18.0.1", i))] : [],
      loadBalancerIngress:
        type === "LoadBalancer" ? [{ ip: mustIp(nthIp("203.0.0.1", i)), ipMode: "VIP" }] : [],
      loadBalancerSourceRanges: i % 9 === 2 ? ["192.0.2.0/24", "192.168.0.0/16"].map(mustCidr) : [],
    }),
    slice(name, empty ? [] : [0, 1].map((j) => endpoint(nthIp("10.244.0.1", 2 * i + j), local))),
    slice(name, empty ? [] : [endpoint(`fd00:10:244::${(i + 1).toString(16)}`, local)], {
      suffix: "six",
      addressType: "IPv6",
    }),
  ];
}

function many(count: number): FeedObject[] {
  return [CIDRS, ...Array.from({ length: count }, (_, i) => everyType(i)).flat()];
}

function objectCounts(driver: LinuxNft) {
  const state = driver.read();
  return { chains: state?.chains.length, rules: state?.rules.length, sets: state?.sets.size };
}

function connectOnce(port: number, host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ port, host });
    socket.setTimeout(2_000, () => socket.destroy(new Error("timed out")));
    socket.on("error", reject);
    socket.on("data", (data) => {
      socket.destroy();
      resolve(data.toString());
    });
  });
}

if (insideNamespace()) {
  test("chains, rules and sets are as many with 1 service as with 10,000 of every type", async () => {
    const agent = new NftAgent();
    await agent.feed(many(1), true);
    const one = [objectCounts(agent.ip), objectCounts(agent.ip6)];
    await agent.feed(many(10_000), true);
    assert.deepEqual([objectCounts(agent.ip), objectCounts(agent.ip6)], one);
    const elements = agent.reconciler.status().families.map((family) => family.elements);
    assert.ok(
      elements.every((count) => count > 50_000),
      String(elements),
    );

    agent.stop();
    nft(["flush", "ruleset"]);
  });

  test("nft lists both tables and loads its own listing again", async () => {
    const agent = new NftAgent();
    await agent.feed(many(500), true);
    agent.stop();
    // Never fed, so it only reads.
    const reader = new NftAgent();
    const read = () =>
      [reader.ip.read(), reader.ip6.read()].map((state) => {
        assert.ok(state !== undefined);
        return { elements: normalise(state), chains: state.chains, rules: state.rules };
      });
    const programmed = read();
    const listing = nft(["list", "ruleset"]);
    assert.match(listing, /table ip nodeplane/);
    assert.match(listing, /table ip6 nodeplane/);
    nft(["-f", "-"], `flush ruleset\n${listing}`);
    assert.deepEqual(read(), programmed);
    reader.stop();
    nft(["flush", "ruleset"]);
  });

  test("what plan prints loads with nft -f and is what the agent programs", async () => {
    const objects = many(200);
    const agent = new NftAgent();
    await agent.feed(objects, true);
    const programmed = [agent.ip.read(), agent.ip6.read()];
    agent.stop();
    nft(["flush", "ruleset"]);
    nft(["-f", "-"], planText(objects, nodeConfig(), "nftables")?.text ?? "");
    const reader = new NftAgent();
    const loaded = [reader.ip.read(), reader.ip6.read()];
    for (const i of [0, 1]) {
      const [a, b] = [programmed[i], loaded[i]];
      assert.ok(a !== undefined && b !== undefined);
      assert.deepEqual(normalise(b), normalise(a));
      assert.deepEqual(b.chains, a.chains);
      assert.deepEqual(b.rules, a.rules);
    }
    // The agent takes such a table over without a write.
    const generation = reader.ip.generation();
    await reader.feed(objects, true);
    assert.equal(reader.ip.generation(), generation);
    reader.stop();
    nft(["flush", "ruleset"]);
  });

  test("a restarted agent writes nothing when nothing changed, and else the difference", async () => {
    const first = new NftAgent();
    await first.feed(many(300), true);
    first.stop();
    const second = new NftAgent();
    const generation = second.ip.generation();
    await second.feed(many(300).reverse(), true);
    assert.equal(second.commits, 0);
    assert.equal(second.ip.generation(), generation);
    second.stop();
    const third = new NftAgent();
    const fewer = many(299);
    await third.feed(
      [...fewer, service("ns/new", { clusterIPs: ["10.97.0.1"] }), slice("ns/new", ["10.244.9.9"])],
      true,
    );
    const [family] = third.reconciler.status().families;
    assert.ok((family?.counters.elementsAdded ?? 0) <= 6, JSON.stringify(family));
    await third.feed(fewer, true);
    const incremental = third.ip.read();
    third.stop();
    nft(["flush", "ruleset"]);
    const fresh = new NftAgent();
    await fresh.feed(fewer, true);
    const state = fresh.ip.read();
    assert.ok(state !== undefined && incremental !== undefined);
    assert.deepEqual(normalise(incremental), normalise(state));
    fresh.stop();
    nft(["flush", "ruleset"]);
  });

  test("changed configuration rewrites rules and keeps elements", async () => {
    const agent = new NftAgent();
    await agent.feed(many(50), true);
    const before = agent.ip.read();
    agent.reconciler.setNode(nodeConfig({ masqueradeAll: true, nodePortAddresses: [mustCidr("0.0.0.0/0")] }));
    await agent.reconciler.idle();
    assert.match(nft(["list", "chain", "ip", "nodeplane", "to-node-ports"]), /fib daddr type local/);
    agent.reconciler.setNode(nodeConfig());
    await agent.reconciler.idle();
    const after = agent.ip.read();
    assert.ok(before !== undefined && after !== undefined);
    assert.deepEqual(normalise(after), normalise(before));
    assert.deepEqual(new Set(after.rules), new Set(before.rules));
    agent.stop();
    nft(["flush", "ruleset"]);
  });

  test("source ranges that overlap their predecessors replace them", async () => {
    const agent = new NftAgent();
    const lb = (ranges: readonly string[]) =>
      service("ns/lb", {
        loadBalancerIngress: [{ ip: mustIp("203.0.113.9"), ipMode: "VIP" }],
        loadBalancerSourceRanges: ranges.map(mustCidr),
      });
    await agent.feed([lb(["192.0.2.0/24"]), slice("ns/lb", ["10.244.0.1"])], true);
    await agent.feed([lb(["192.0.2.128/25"])]);
    await agent.feed([lb(["192.0.0.0/16", "192.0.2.0/24"])]);
    assert.match(nft(["list", "set", "ip", "nodeplane", "source-ranges"]), /192\.0\.0\.0\/16/);
    agent.stop();
    nft(["flush", "ruleset"]);
  });

  test("what somebody deletes is back", async (t) => {
    const agent = new NftAgent();
    t.after(() => agent.stop());
    await agent.feed(many(100), true);
    await sleep(1_100);
    const good = nft(["list", "ruleset"]);
    for (const harm of [
      ["delete", "table", "ip", "nodeplane"],
      ["flush", "ruleset"],
      ["flush", "chain", "ip", "nodeplane", "services"],
      ["flush", "map", "ip", "nodeplane", "slots"],
      ["add", "element", "ip", "nodeplane", "drop-frontends", "{ 10.96.99.1 . tcp . 80 }"],
      ["add", "chain", "ip", "nodeplane", "theirs"],
    ]) {
      nft(harm);
      assert.notEqual(nft(["list", "ruleset"]), good);
      // Two seconds by the contract; this machine may have other things to do.
      await until(() => nft(["list", "ruleset"]).length === good.length, harm.join(" "), 30_000);
    }
    assert.ok((agent.reconciler.status().families[0]?.counters.repairs ?? 0) >= 6);
    agent.reconciler.stop();
    nft(["flush", "ruleset"]);
  });

  test("not one connection fails while a service crosses size classes and the agent restarts", async (t) => {
    for (const command of ["addr add 192.168.0.2/32 dev lo", "route add 10.96.0.0/12 dev lo"])
      execFileSync("ip", command.split(" "));
    const addresses = Array.from({ length: 20 }, (_, i) => nthIp("10.244.0.1", i));
    for (const address of addresses) execFileSync("ip", ["addr", "add", `${address}/32`, "dev", "lo"]);
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.end(`${socket.localAddress}`);
    });
    await new Promise<void>((resolve) => server.listen(8080, "0.0.0.0", resolve));
    let agent = new NftAgent();
    const stop = new AbortController();
    t.after(() => {
      stop.abort();
      server.close();
      agent.stop();
    });
    const state = (count: number) => [
      service("ns/web", { clusterIPs: ["10.97.0.10"] }),
      slice("ns/web", addresses.slice(0, count)),
      ...many(50),
    ];
    await agent.feed(state(1), true);
    const seen = new Set<string>();
    const failures: string[] = [];
    let connections = 0;
    const client = async () => {
      while (!stop.signal.aborted) {
        connections++;
        await connectOnce(80, "10.97.0.10").then(
          (text) => seen.add(text),
          (error: Error) => failures.push(error.message),
        );
      }
    };
    const clients = [client(), client()];
    const sizes = [1, 2, 3, 5, 9, 17, 20, 16, 8, 4, 2, 1, 3, 20, 1, 2, 1, 5, 4];
    for (let round = 0; round < 6; round++) {
      for (const size of sizes) {
        await agent.feed([slice("ns/web", addresses.slice(0, size))]);
        await sleep(4);
      }
      agent.stop();
      agent = new NftAgent();
      await agent.feed(state(3), true);
    }
    // Which endpoints the loop met is chance; that all of them can be met is not.
    await agent.feed([slice("ns/web", addresses)]);
    await until(() => seen.size === 20, "all 20 endpoints answered");
    stop.abort();
    await Promise.all(clients);
    assert.deepEqual(failures, []);
    assert.ok(connections > 100, `${connections} connections`);
  });
} else {
  test("reconciler on the kernel", () => reexecuteInNamespace(import.meta.filename));
}
