/** What clean-up and a change of mode remove of ipvs mode, on fake kernels. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { cleanupIpvs } from "../../../src/agent/reconcile/ipvs/ipvs-cleanup.ts";
import { IpvsReconciler } from "../../../src/agent/reconcile/ipvs/ipvs-reconciler.ts";
import { FakeIpvs } from "../../../src/drivers/ipvs/index.ts";
import { FakeNft, FakeNftKernel } from "../../../src/drivers/nftables/index.ts";
import { FakeDummy } from "../../../src/drivers/rtnetlink/index.ts";
import type { IpvsService } from "../../../src/model/ipvs.ts";
import { DUMMY_DEVICE, ipvsTableOf } from "../../../src/plan/ipvs/names.ts";
import { endpoint, nodeConfig, service, slice } from "../../support/objects.ts";
import { mustIp } from "../../support/packet-cases.ts";
import { normalise, TestClock } from "../../support/reconcile.ts";

const FOREIGN: IpvsService = {
  family: "ip",
  protocol: 6,
  address: mustIp("192.0.2.1"),
  port: 80,
  scheduler: "rr",
  flags: 0,
  timeoutSeconds: 0,
};

/** A node in ipvs mode with a service that has a node port, and a virtual server of somebody else. */
async function programmed() {
  const kernel = new FakeNftKernel();
  const tables = { ip: new FakeNft(ipvsTableOf("ip"), kernel), ip6: new FakeNft(ipvsTableOf("ip6"), kernel) };
  const driver = new FakeIpvs();
  const dummy = new FakeDummy(DUMMY_DEVICE);
  const reconciler = new IpvsReconciler({
    nft: tables,
    ipvs: driver,
    dummy,
    node: nodeConfig(),
    scheduler: "wrr",
    excludeCIDRs: [],
    timeouts: { tcpSeconds: 0, tcpFinSeconds: 0, udpSeconds: 0 },
    drainLimitMs: 60_000,
    syncPeriodMs: 30_000,
    clock: new TestClock(),
  });
  const batch = { revision: 1n, snapshot: true, origin: "live", changedAtMs: 0 } as const;
  reconciler.begin(batch);
  const ports = [{ name: "", protocol: "TCP", port: 80, nodePort: 30_080 }] as const;
  reconciler.upsert(service("web", { type: "NodePort", clusterIPs: ["10.96.0.10"], ports }));
  reconciler.upsert(slice("web", [endpoint("10.244.0.1")]));
  reconciler.commit(batch);
  await reconciler.idle();
  reconciler.stop();
  await driver.commit([{ op: "add-service", service: FOREIGN }]);
  const host = { driver, dummy, tables, close: () => {} };
  const servers = () => driver.readServices().map(({ address, port }) => `${address}:${port}`);
  return { host, driver, dummy, tables, servers };
}

test("all that is ours goes, nothing else, and a second time finds nothing", async () => {
  const { host, dummy, tables, servers } = await programmed();
  assert.deepEqual(servers().sort(), ["10.96.0.10:80", "192.0.2.1:80", "192.168.0.2:30080"]);
  assert.deepEqual(await cleanupIpvs(host, false), { had: true, busy: 0 });
  assert.deepEqual(servers(), ["192.0.2.1:80"]);
  assert.deepEqual([dummy.read(), tables.ip.read(), tables.ip6.read()], [undefined, undefined, undefined]);
  assert.deepEqual(await cleanupIpvs(host, false), { had: false, busy: 0 });
});

test("after a change of mode virtual servers with connections stay, named by a table without rules", async () => {
  const { host, driver, dummy, tables, servers } = await programmed();
  const nodePort = { ...FOREIGN, address: mustIp("192.168.0.2"), port: 30_080 };
  const to = { address: mustIp("10.244.0.1"), port: 8080 };
  driver.setConnections(nodePort, to, { active: 1, inactive: 0 });
  assert.deepEqual(await cleanupIpvs(host, true), { had: true, busy: 1 });
  assert.deepEqual(servers().sort(), ["192.0.2.1:80", "192.168.0.2:30080"]);
  assert.deepEqual(dummy.read(), []);
  const state = tables.ip.read();
  assert.ok(state !== undefined);
  assert.deepEqual([state.rules, Object.keys(normalise(state))], [[], ["kept-frontends"]]);
  assert.equal(tables.ip6.read(), undefined);
  // Also after a restart of the agent: the table says whose it is.
  driver.setConnections(nodePort, to, { active: 0, inactive: 3 });
  assert.deepEqual(await cleanupIpvs(host, true), { had: true, busy: 0 });
  assert.deepEqual([servers(), dummy.read(), tables.ip.read()], [["192.0.2.1:80"], undefined, undefined]);
});
