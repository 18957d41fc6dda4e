/** The reconciler's own decisions: what it waits for, what it does when the kernel refuses, what others break. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { FakeNft, FakeNftKernel } from "../../../src/drivers/nftables/index.ts";
import type { Programmed } from "../../../src/feed/feed.ts";
import type { NftOp } from "../../../src/model/nftables.ts";
import type { ObjectProblem } from "../../../src/model/objects.ts";
import { packIp } from "../../../src/plan/packed.ts";
import { nodeConfig, nthIp, service, slice } from "../../support/objects.ts";
import { mustCidr, mustIp } from "../../support/packet-cases.ts";
import { World } from "../../support/reconcile.ts";

/** Refuses every batch that adds a frontend of one address, as a kernel that dislikes one unit would. */
class PickyNft extends FakeNft {
  disliked: string | undefined;
  isBroken = false;
  /** As kernels before 6.2, which hold on to chains for a while. */
  isHolding = false;
  override commit(ops: readonly NftOp[]) {
    if (this.isBroken) throw new Error("no socket");
    const held = this.isHolding ? ops.findIndex(({ op }) => op === "delete-chain") : -1;
    if (held >= 0)
      return { kind: "failed", failures: [{ opIndex: held, errno: 16, code: "EBUSY" }] } as const;
    const { disliked } = this;
    const opIndex = ops.findIndex(
      (op) =>
        op.op === "add-elements" &&
        disliked !== undefined &&
        Buffer.from(op.elements.keys)
          .toString("latin1")
          .includes(packIp(mustIp(disliked))),
    );
    if (opIndex < 0) return super.commit(ops);
    return { kind: "failed", failures: [{ opIndex, errno: 12, code: "ENOMEM" }] } as const;
  }
}

function pickyWorld() {
  const kernel = new FakeNftKernel();
  const ip = new PickyNft({ family: "ip", name: "nodeplane" }, kernel);
  const programmed: Programmed[] = [];
  const problems: (readonly ObjectProblem[])[] = [];
  const world = new World();
  const options = {
    drivers: { ip },
    onProgrammed: (one: Programmed) => void programmed.push(one),
    onProblems: (list: readonly ObjectProblem[]) => void problems.push(list),
  };
  world.start(options);
  return { world, ip, kernel, options, programmed, problems };
}

const unit = (i: number) => [
  service(`s${i}`, { clusterIPs: [nthIp("10.96.0.1", i)] }),
  slice(`s${i}`, [nthIp("10.244.0.1", i)]),
];

function frontends(driver: FakeNft): number {
  return driver.read()?.sets.get("frontends")?.elements.count ?? 0;
}

suite("reconciler", () => {
  test("touches nothing before the first complete state", async () => {
    const world = new World();
    await world.feed(unit(1));
    assert.equal(world.commits, 0);
    assert.equal(world.reconciler.status().programmed, false);
    await world.snapshot(unit(1));
    assert.equal(world.reconciler.status().programmed, true);
  });

  test("a small change is in the kernel when commit returns, acknowledged with its revision", async () => {
    const { world, ip, programmed } = pickyWorld();
    await world.snapshot(unit(1));
    const batch = { revision: 77n, snapshot: false, origin: "live", changedAtMs: 0 } as const;
    world.reconciler.begin(batch);
    for (const object of unit(2)) world.reconciler.upsert(object);
    world.reconciler.commit(batch);
    assert.equal(frontends(ip), 2);
    assert.equal(programmed.at(-1)?.revision, 77n);
  });

  for (const when of ["cold start", "change", "restart"] as const) {
    test(`one refused unit is reported by its Service, the rest goes live: ${when}`, async () => {
      const { world, ip, options, programmed, problems } = pickyWorld();
      const objects = [0, 1, 2, 3].flatMap(unit);
      if (when === "change") await world.snapshot([]);
      if (when === "restart") {
        await world.snapshot(unit(0));
        world.start(options);
      }
      ip.disliked = "10.96.0.3";
      await (when === "change" ? world.feed(objects) : world.snapshot(objects));
      world.clock.advance(600);
      await world.settle();
      assert.equal(frontends(ip), 3);
      const [refused] = programmed.at(-1)?.refused ?? [];
      assert.deepEqual(refused?.object, { kind: "Service", namespace: "default", name: "s2" });
      assert.equal(refused?.reason, "KernelRefused");
      assert.deepEqual(problems.at(-1), programmed.at(-1)?.refused);

      ip.disliked = undefined;
      world.clock.advance(120_000);
      await world.settle();
      assert.equal(frontends(ip), 4);
      assert.deepEqual(problems.at(-1), []);
    });
  }

  test("a socket that fails is tried again, and the error shows in the status", async () => {
    const { world, ip } = pickyWorld();
    await world.snapshot(unit(1));
    world.clock.advance(5_000);
    ip.isBroken = true;
    await world.feed(unit(2));
    assert.equal(world.reconciler.status().lastError?.message, "no socket");
    assert.notEqual(world.reconciler.status().pendingSinceMs, undefined);
    assert.equal(world.reconciler.status().revision, "1");
    ip.isBroken = false;
    world.clock.advance(2_000);
    await world.settle();
    assert.equal(frontends(ip), 2);
    assert.equal(world.reconciler.status().revision, "2");
    assert.equal(world.reconciler.status().pendingSinceMs, undefined);
  });

  test("how long a change has been waiting is not what the machine's clock says", async () => {
    const { world, ip } = pickyWorld();
    await world.snapshot(unit(1));
    ip.isBroken = true;
    await world.feed(unit(2));
    const waited = world.reconciler.status().pendingForMs ?? -1;
    for (const jumpMs of [3_600_000, -7_200_000]) {
      world.clock.jump(jumpMs);
      assert.equal(world.reconciler.status().pendingForMs, waited);
    }
    world.clock.advance(90_000);
    assert.equal(world.reconciler.status().pendingForMs, waited + 90_000);
    ip.isBroken = false;
    world.clock.advance(30_000);
    await world.settle();
    assert.equal(world.reconciler.status().pendingForMs, undefined);
  });

  test("a table that somebody else keeps is pending until it is ours again, without any change", async () => {
    const { world, ip, kernel } = pickyWorld();
    await world.snapshot(unit(1));
    world.clock.advance(5_000);
    ip.isBroken = true;
    kernel.flush();
    await Promise.resolve();
    world.clock.advance(1_000);
    await world.settle();
    assert.notEqual(world.reconciler.status().pendingSinceMs, undefined);
    ip.isBroken = false;
    world.clock.advance(5_000);
    await world.settle();
    assert.equal(frontends(ip), 1);
    assert.equal(world.reconciler.status().pendingSinceMs, undefined);
  });

  test("a deleted table is back, with what changed meanwhile", async () => {
    const world = new World();
    await world.snapshot(unit(1));
    world.clock.advance(5_000);
    world.kernel.flush();
    await Promise.resolve();
    await world.feed(unit(2));
    world.clock.advance(1_000);
    await world.settle();
    assert.equal(frontends(world.drivers.ip), 2);
    assert.equal(world.reconciler.status().families[0]?.counters.repairs, 1);
  });

  test("a table of another layout is replaced in one batch", async () => {
    const world = new World();
    world.drivers.ip.commit([{ op: "add-table" }, { op: "add-chain", chain: { name: "old" } }]);
    const before = world.drivers.ip.commits;
    await world.snapshot(unit(1));
    assert.equal(world.drivers.ip.commits, before + 1);
    assert.equal(frontends(world.drivers.ip), 1);
  });

  test("what others break while their last deed is being mended is mended too", async () => {
    const world = new World();
    const other = new FakeNft({ family: "ip", name: "nodeplane" }, world.kernel);
    await world.snapshot(unit(1));
    let isFirst = true;
    world.clock.yieldTurn = async () => {
      if (isFirst) other.commit([{ op: "delete-table" }]);
      isFirst = false;
    };
    other.commit([{ op: "delete-table" }]);
    for (let i = 0; i < 30; i++) {
      await Promise.resolve();
      world.clock.advance(100);
      await world.settle();
    }
    assert.equal(isFirst, false);
    assert.equal(frontends(world.drivers.ip), 1);
  });

  test("a family that cannot be read at the start does not take the other one with it", async () => {
    const world = new World();
    const ip = new PickyNft({ family: "ip", name: "nodeplane" }, world.kernel);
    world.start({ drivers: { ip, ip6: world.drivers.ip6 } });
    ip.isBroken = true;
    const six = { clusterIPs: ["10.96.0.1", "fd00:10:96::1"] };
    await world.snapshot([
      service("s1", six),
      slice("s1", ["10.244.0.1"]),
      slice("s1", ["fd00:10:244::1"], { suffix: "6" }),
    ]);
    assert.equal(frontends(ip), 0);
    ip.isBroken = false;
    world.clock.advance(10_000);
    await world.settle();
    assert.deepEqual([frontends(ip), frontends(world.drivers.ip6)], [1, 1]);
  });

  test("node addresses, zone and pod range are planned anew, rules alone where they suffice", async () => {
    const world = new World();
    await world.snapshot([
      service("np", { ports: [{ name: "", protocol: "TCP", port: 80, nodePort: 30_000 }] }),
    ]);
    const setOf = (name: string) => world.sets()[name] ?? [];
    assert.deepEqual(setOf("node-addresses"), ["c0a80002: "]);
    const moved = nodeConfig({
      primaryAddresses: [mustIp("192.168.0.9")],
      nodeAddresses: [mustIp("192.168.0.9")],
    });
    world.reconciler.setNode(moved);
    assert.deepEqual(setOf("node-addresses"), ["c0a80009: "]);
    const { elementsAdded } = world.reconciler.status().families[0]?.counters ?? { elementsAdded: 0 };
    world.reconciler.setNode({ ...moved, localTraffic: { kind: "cidrs", cidrs: [mustCidr("10.9.0.0/16")] } });
    assert.equal(world.reconciler.status().families[0]?.counters.elementsAdded, elementsAdded);
    const commits = world.commits;
    world.reconciler.setNode({ ...moved, localTraffic: { kind: "cidrs", cidrs: [mustCidr("10.9.0.0/16")] } });
    assert.equal(world.commits, commits);
  });

  test("a lost frontend is reported, and reinstated when the older owner goes", async () => {
    const world = new World();
    const external = { externalIPs: [mustIp("203.0.113.1")] };
    const old = service("old", { ...external, clusterIPs: ["10.96.0.1"], createdAtMs: 1 });
    const young = service("young", { ...external, clusterIPs: ["10.96.0.2"], createdAtMs: 2 });
    await world.snapshot([young, old]);
    const [problem] = world.reconciler.status().refused;
    assert.equal(problem?.reason, "FrontendConflict");
    assert.equal(problem?.object.name, "young");
    assert.match(problem?.message ?? "", /203\.0\.113\.1:80 belongs to the older Service default\/old/);
    await world.feed([], [{ kind: "Service", namespace: "default", name: "old" }]);
    assert.deepEqual(world.reconciler.status().refused, []);
    assert.equal(world.sets()["reject-frontends"]?.length, 2);
  });

  test("two ports of one Service that want the same are told so", async () => {
    const world = new World();
    const ports = ["a", "b"].map((name) => ({ name, protocol: "TCP" as const, port: 80, nodePort: 0 }));
    await world.snapshot([service("web", { ports })]);
    const [problem] = world.reconciler.status().refused;
    assert.equal(problem?.field, "spec.clusterIPs[0]");
    assert.match(problem?.message ?? "", /10\.96\.0\.10:80 belongs to another port of this Service/);
  });

  test("chains that an older kernel does not let go are counted, and go with the next write", async () => {
    const { world, ip } = pickyWorld();
    const chains = () => ip.read()?.chains.length ?? 0;
    const failures = () => world.reconciler.status().families[0]?.counters.cleanupFailures;
    await world.snapshot([]);
    const before = chains();
    const sticky = service("s1", { clusterIPs: [nthIp("10.96.0.1", 1)], sessionAffinity: "ClientIP" });
    await world.feed([sticky, slice("s1", [nthIp("10.244.0.1", 1)])]);
    assert.ok(chains() > before);
    ip.isHolding = true;
    await world.feed([], [{ kind: "Service", namespace: "default", name: "s1" }]);
    assert.equal(failures(), 1);
    assert.ok(chains() > before);
    ip.isHolding = false;
    await world.feed(unit(2));
    assert.equal(failures(), 1);
    assert.equal(chains(), before);
  });
});
