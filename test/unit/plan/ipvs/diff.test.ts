/** Steps from what IPVS holds to what it should: applied to the fake they arrive, in an order that keeps connections. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FakeIpvs } from "../../../../src/drivers/ipvs/index.ts";
import type { IpvsServer, IpvsService } from "../../../../src/model/ipvs.ts";
import { diffIpvs } from "../../../../src/plan/ipvs/diff.ts";
import { mustIp } from "../../../support/packet-cases.ts";

const tcp: IpvsService = {
  family: "ip",
  protocol: 6,
  address: mustIp("10.96.0.1"),
  port: 80,
  scheduler: "wrr",
  flags: 0,
  timeoutSeconds: 0,
};
const udp: IpvsService = { ...tcp, protocol: 17 };
const to = (last: number, weight = 1) => ({ address: mustIp(`10.0.0.${last}`), port: 8080, weight });

async function reach(driver: FakeIpvs, wanted: readonly IpvsServer[]) {
  const diff = diffIpvs(wanted, await driver.read());
  assert.deepEqual(await driver.commit(diff.ops), []);
  return diff;
}

test("a removed destination drains, and goes when its connections have", async () => {
  const driver = new FakeIpvs();
  await reach(driver, [{ service: tcp, destinations: [to(1, 3)] }]);
  driver.setConnections(tcp, to(1), { active: 1, inactive: 0 });
  const wanted = [{ service: tcp, destinations: [to(2)] }];
  const first = await reach(driver, wanted);
  assert.deepEqual(
    first.ops.map(({ op }) => op),
    ["add-destination", "set-destination"],
    "the new one is there before the old one gets no more",
  );
  assert.equal(first.draining, 1);
  const weights = async () => (await driver.read())[0]?.destinations.map(({ weight }) => weight);
  assert.deepEqual(await weights(), [0, 1]);
  assert.deepEqual(await reach(driver, wanted), { ops: [], draining: 1 }, "as after a restart: it goes on");
  driver.setConnections(tcp, to(1), { active: 0, inactive: 0 });
  assert.equal((await reach(driver, wanted)).ops[0]?.op, "delete-destination");
  assert.deepEqual(await weights(), [1]);
});

test("a draining destination comes back, or goes when its time is over", async () => {
  const driver = new FakeIpvs();
  await reach(driver, [{ service: tcp, destinations: [to(1)] }]);
  driver.setConnections(tcp, to(1), { active: 0, inactive: 4 });
  await reach(driver, [{ service: tcp, destinations: [] }]);
  const has = await driver.read();
  assert.equal(has[0]?.destinations[0]?.weight, 0);
  const back = diffIpvs([{ service: tcp, destinations: [to(1)] }], has);
  assert.deepEqual(back, { ops: [{ op: "set-destination", service: tcp, destination: to(1) }], draining: 0 });
  const over = diffIpvs([{ service: tcp, destinations: [] }], has, { isOverdue: () => true });
  assert.deepEqual(
    over.ops.map(({ op }) => op),
    ["delete-destination"],
  );
});

test("UDP leaves at once, with its connections", async () => {
  const driver = new FakeIpvs();
  await reach(driver, [{ service: udp, destinations: [to(1)] }]);
  driver.setConnections(udp, to(1), { active: 0, inactive: 9 });
  const { ops, draining } = await reach(driver, [{ service: udp, destinations: [] }]);
  assert.deepEqual([ops.map(({ op }) => op), draining], [["delete-destination"], 0]);
});

test("law: one step from anything to anything, and a second one is empty", async () => {
  const destinations = fc.uniqueArray(
    fc.record({ last: fc.integer({ min: 1, max: 6 }), weight: fc.integer({ min: 1, max: 3 }) }),
    { selector: ({ last }) => last, maxLength: 5 },
  );
  const server = fc.record({
    port: fc.integer({ min: 1, max: 4 }),
    protocol: fc.constantFrom(6, 17, 132),
    scheduler: fc.constantFrom("rr", "wrr"),
    timeoutSeconds: fc.constantFrom(0, 300),
    destinations,
  });
  const state = fc.uniqueArray(server, {
    selector: ({ port, protocol }) => `${port} ${protocol}`,
    maxLength: 6,
  });
  await fc.assert(
    fc.asyncProperty(fc.array(state, { minLength: 1, maxLength: 4 }), async (states) => {
      const driver = new FakeIpvs();
      for (const entries of states) {
        const wanted = entries.map(
          ({ port, protocol, scheduler, timeoutSeconds, destinations: list }): IpvsServer => ({
            service: { ...tcp, port, protocol, scheduler, timeoutSeconds, flags: timeoutSeconds > 0 ? 1 : 0 },
            destinations: list.map(({ last, weight }) => to(last, weight)),
          }),
        );
        await reach(driver, wanted);
        const has = await driver.read();
        assert.equal(has.length, wanted.length);
        assert.deepEqual(diffIpvs(wanted, has), { ops: [], draining: 0 });
      }
    }),
    { numRuns: 60 },
  );
});
