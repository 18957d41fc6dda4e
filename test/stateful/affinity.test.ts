/**
 * The affinity cases of packet-cases.yaml, by their ids. Times are a fifth of the file's: the timeout is 2 s instead of 10, more on a slow machine.
 * NODEPLANE_TEST_MODE and NODEPLANE_TEST_VARIANT choose the mode.
 */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { FixtureService } from "../packet-cases/case-file.ts";
import { modeUnderTest, Scene } from "../packet-cases/scene.ts";
import { STRETCH } from "../support/patience.ts";

const VIP = "172.30.0.41";
const TIMEOUT_SECONDS = 2 * STRETCH;

suite("stateful: session affinity", () => {
  let scene: Scene;
  let sticky: FixtureService;

  before(async () => {
    scene = new Scene(["affinity"]);
    const fixture = scene.fixture("affinity");
    sticky = {
      ...fixture,
      spec: { ...fixture.spec, sessionAffinityConfig: { clientIP: { timeoutSeconds: TIMEOUT_SECONDS } } },
    };
    for (const port of [80, 81]) await scene.listen(sticky.endpoints, "TCP", port);
    await scene.startAgent();
    await scene.apply([sticky]);
  });
  after(() => scene.close());

  const one = async (role: string, destination: string, port: number, source?: string) => {
    const { backends, others } = await scene.connect(role, destination, port, 1, {
      ...(source === undefined ? {} : { source }),
    });
    assert.deepEqual(others, []);
    return backends[0]?.split(":")[0];
  };

  test("aff-sticky", async () => {
    const home = await one("pod", VIP, 80);
    const { backends, others } = await scene.connect("pod", VIP, 80, 20);
    assert.deepEqual([backends, others], [[`${home}:80`], []]);
    // IPVS remembers a client while it remembers a connection of it, up to two minutes after its end.
    if (modeUnderTest() === "ipvs") return;
    // After the timeout it is forgotten: then it would stay at one of three 20 times with a chance of one in 3^20.
    const seen = new Set<string | undefined>();
    for (let n = 0; n < 8 && seen.size < 2; n++) {
      await sleep(TIMEOUT_SECONDS * 1500);
      seen.add(await one("pod", VIP, 80));
    }
    assert.ok(seen.size > 1, "one backend for ever");
  });

  test("aff-refresh", async () => {
    const home = await one("pod", VIP, 80);
    for (let n = 0; n < 12; n++) {
      await sleep(TIMEOUT_SECONDS * 500);
      assert.equal(await one("pod", VIP, 80), home, `after ${n + 1} s`);
    }
  });

  test("aff-per-port", async () => {
    // Two ports of three backends agree once in three times; twelve clients do so with a chance of one in 3^12.
    let isDifferent = false;
    for (let n = 10; n < 22; n++) {
      const client = `10.0.0.${n}`;
      scene.network.addClientAddress("pod", client);
      const [first, second] = [await one("pod", VIP, 80, client), await one("pod", VIP, 81, client)];
      assert.equal(await one("pod", VIP, 80, client), first);
      assert.equal(await one("pod", VIP, 81, client), second);
      if (first !== second) isDifferent = true;
    }
    assert.ok(isDifferent, "the ports share their memory");
  });

  const isShared = modeUnderTest() !== "ipvs";
  test("aff-across-vips", { skip: !isShared && "ipvs remembers for each frontend by itself" }, async () => {
    for (let n = 0; n < 4; n++) {
      const home = await one("node", VIP, 80, "192.168.0.2");
      assert.equal(await one("node", "192.168.0.2", 3001, "192.168.0.2"), home);
      await sleep(TIMEOUT_SECONDS * 1500);
    }
  });

  test("aff-switch-off", async () => {
    const spec = { ...sticky.spec, sessionAffinity: "None", sessionAffinityConfig: undefined };
    await scene.apply([{ ...sticky, spec }]);
    const spread = await scene.connect("pod", VIP, 80, 200);
    assert.equal(spread.backends.length, 3);
    await scene.apply([sticky]);
    await one("pod", VIP, 80);
    const { backends } = await scene.connect("pod", VIP, 80, 40);
    assert.equal(backends.length, 1);
  });
});
