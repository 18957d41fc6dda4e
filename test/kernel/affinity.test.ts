/**
 * Session affinity in the kernel: connections of one client stay at one endpoint, sets of clients that are full still
 * balance, and nft lists and reloads all of it while clients are remembered.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Server } from "node:net";
import { type TestContext, test } from "node:test";
import { machineClock } from "../../src/agent/reconcile/clock.ts";
import { Reconciler } from "../../src/agent/reconcile/nftables/reconciler.ts";
import { LinuxNft } from "../../src/drivers/nftables/index.ts";
import type { FeedObject } from "../../src/model/objects.ts";
import { endpoint, nodeConfig, service, slice } from "../support/objects.ts";
import { mustIp } from "../support/packet-cases.ts";
import { insideNamespace, reexecuteInNamespace } from "./netns.ts";

const VIP = "10.96.0.10";
const ENDPOINTS = ["10.244.0.2", "10.244.0.3", "10.244.0.4", "10.244.0.5"];
const NODE = nodeConfig({ nodeAddresses: [], primaryAddresses: [mustIp("192.168.0.2")] });

function nft(input: string, ...args: string[]): string {
  return execFileSync("nft", args, { input, encoding: "utf8", stdio: ["pipe", "pipe", "pipe"] });
}

async function answer(from: string, to = VIP, port = 80): Promise<string> {
  const socket = connect({ host: to, port, localAddress: from });
  const [data] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return data.toString();
}

async function answers(from: string, count: number, to = VIP, port = 80): Promise<readonly string[]> {
  const seen: string[] = [];
  for (let n = 0; n < count; n++) seen.push(await answer(from, to, port));
  return [...new Set(seen)].sort();
}

async function listen(): Promise<readonly Server[]> {
  const servers = ENDPOINTS.map((address) => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.end(address);
    });
    return { server, address };
  });
  for (const { server, address } of servers) {
    server.listen(8080, address);
    await once(server, "listening");
  }
  return servers.map(({ server }) => server);
}

async function play(t: TestContext): Promise<void> {
  const addresses = [...ENDPOINTS, "192.168.0.2", "192.168.0.3"].map((ip) => `addr add ${ip}/32 dev lo`);
  execFileSync("ip", ["-batch", "-"], { input: [...addresses, "route add 10.96.0.0/12 dev lo"].join("\n") });
  const servers = await listen();
  const driver = new LinuxNft({ family: "ip", name: "nodeplane" });
  t.after(() => {
    for (const server of servers) server.close();
    driver.close();
  });
  const reconciler = new Reconciler({
    mode: "nftables",
    drivers: { ip: driver },
    node: NODE,
    clock: machineClock,
  });
  let revision = 0n;
  const feed = async (...objects: readonly FeedObject[]) => {
    const batch = {
      revision: ++revision,
      snapshot: revision === 1n,
      origin: "live",
      changedAtMs: 0,
    } as const;
    reconciler.begin(batch);
    for (const object of objects) reconciler.upsert(object);
    reconciler.commit(batch);
    await reconciler.idle();
  };
  const ports = [{ name: "", protocol: "TCP", port: 80, nodePort: 30_080 }] as const;
  const web = (seconds: number) =>
    service("web", {
      ports,
      externalIPs: [mustIp("10.96.7.7")],
      sessionAffinity: seconds > 0 ? "ClientIP" : "None",
      affinityTimeoutSeconds: seconds,
    });
  await feed(
    web(3),
    slice(
      "web",
      ENDPOINTS.map((ip) => endpoint(ip)),
    ),
  );
  const first = await answers("192.168.0.2", 20);
  assert.equal(first.length, 1, `20 connections went to ${first.join(", ")}`);
  assert.deepEqual(await answers("192.168.0.2", 5, "10.96.7.7"), first, "one memory for all frontends");
  assert.deepEqual(await answers("192.168.0.2", 5, "192.168.0.2", 30_080), first);

  // What an administrator does: list, and load the listing.
  const listing = nft("", "-s", "list", "ruleset");
  assert.match(
    listing,
    /ip saddr @affinity-clients\/default\/web\/tcp\/\/10\.244\.0\.2\/8080 update @affinity-clients/,
  );
  assert.match(nft("", "list", "ruleset"), /192\.168\.0\.2 timeout 3s expires/);
  const rules = driver.read()?.rules;
  nft(`flush ruleset\n${listing}`, "-f", "-");
  assert.deepEqual(driver.read()?.rules, rules, "reloaded rules read as the same");
  await reconciler.idle();
  await new Promise((resolve) => setTimeout(resolve, 700));
  await reconciler.idle();
  assert.deepEqual(reconciler.status().refused, []);

  // Renewed by each connection; the endpoint that goes takes its clients with it.
  const [home = ""] = await answers("192.168.0.2", 1);
  for (let n = 0; n < 4; n++) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.equal(await answer("192.168.0.2"), home);
  }
  const others = ENDPOINTS.filter((ip) => ip !== home);
  await feed(
    slice(
      "web",
      others.map((ip) => endpoint(ip)),
    ),
  );
  const [next = ""] = await answers("192.168.0.2", 10);
  assert.ok(others.includes(next));
  assert.deepEqual(await answers("192.168.0.2", 10), [next]);

  // Remembered over a restart of the agent, since nothing is written.
  reconciler.stop();
  const again = new Reconciler({
    mode: "nftables",
    drivers: { ip: driver },
    node: NODE,
    clock: machineClock,
  });
  const batch = { revision: 1n, snapshot: true, origin: "live", changedAtMs: 0 } as const;
  again.begin(batch);
  for (const object of [
    web(3),
    slice(
      "web",
      others.map((ip) => endpoint(ip)),
    ),
  ])
    again.upsert(object);
  again.commit(batch);
  await again.idle();
  assert.equal(again.status().families[0]?.counters.commits, 0);
  assert.deepEqual(await answers("192.168.0.2", 10), [next]);

  // Full sets: shrink what the chains remember into, by sets of one client that is somebody else.
  const sets = others.map((ip) => `affinity-clients/default/web/tcp//${ip}/8080`);
  const small = nft("", "-s", "list", "ruleset").replaceAll("size 65536", "size 1");
  nft(`flush ruleset\n${small}`, "-f", "-");
  for (const set of sets)
    nft(
      `flush set ip nodeplane ${set}\nadd element ip nodeplane ${set} { 203.0.113.1 timeout 1h }`,
      "-f",
      "-",
    );
  again.stop();
  assert.deepEqual(await answers("192.168.0.3", 60), others, "a full set balances");
  assert.equal(again.affinityNotRemembered().get("ip"), 60);
  assert.match(nft("", "list", "ruleset"), /counter packets [1-9]\d* bytes \d+ comment "not remembered/);
}

if (insideNamespace()) test("session affinity", play);
else test("session affinity in a namespace", () => reexecuteInNamespace(import.meta.filename));
