/** Work queue, informer, leader election, events and allocation repair. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { repairAllocations } from "../../../../src/control-plane/controllers/allocation-repair/controller.ts";
import type { Controller, ControllerContext } from "../../../../src/control-plane/controllers/controller.ts";
import { runWhileLeading } from "../../../../src/control-plane/controllers/framework/leader-election.ts";
import { WorkQueue } from "../../../../src/control-plane/controllers/framework/work-queue.ts";
import { addService, FakeClock, startCluster, type TestCluster } from "./harness.ts";

const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
const turn = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
};

suite("work queue", () => {
  test("a key queued often is worked on once; queued meanwhile, once more; never twice at a time", async () => {
    const clock = new FakeClock();
    const abort = new AbortController();
    const seen: string[] = [];
    let active = 0;
    const queue: WorkQueue = new WorkQueue({
      name: "t",
      clock,
      log: silent,
      workers: 4,
      work: async (key) => {
        assert.equal(++active, 1);
        seen.push(key);
        if (seen.length === 1) queue.add("a");
        await turn();
        active--;
      },
    });
    for (let i = 0; i < 5; i++) queue.add("a");
    const running = queue.run(abort.signal);
    await queue.idle();
    assert.deepEqual(seen, ["a", "a"]);
    abort.abort();
    await running;
  });

  test("a failing key comes back after 50, 100, 200 ms; success forgets", async () => {
    const clock = new FakeClock();
    const abort = new AbortController();
    const times: number[] = [];
    const start = clock.nowMs();
    const queue = new WorkQueue({
      name: "t",
      clock,
      log: silent,
      work: async () => {
        times.push(clock.nowMs() - start);
        if (times.length < 4) throw new Error("not yet");
        await Promise.resolve();
      },
    });
    queue.add("a");
    const running = queue.run(abort.signal);
    for (let i = 0; i < 50; i++) {
      await turn();
      clock.advance(10);
    }
    assert.deepEqual(times, [0, 50, 150, 350]);
    abort.abort();
    await running;
  });
});

/** A controller that only gives its context away. */
function spy(seen: (context: ControllerContext) => void): Controller {
  return {
    name: "spy",
    run: async (context, signal) => {
      seen(context);
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    },
  };
}

async function withContext(
  run: (cluster: TestCluster, context: ControllerContext) => Promise<void>,
): Promise<void> {
  let context: ControllerContext | undefined;
  const cluster = await startCluster([spy((given) => (context = given))]);
  try {
    await cluster.settle();
    assert.ok(context);
    await run(cluster, context);
  } finally {
    await cluster.stop();
  }
}

suite("leader election", () => {
  test("one leads; another takes over when the lease ends, at once when it is given back", () =>
    withContext(async ({ client, clock, settle }) => {
      const leading = new Set<string>();
      const elect = (identity: string, signal: AbortSignal): Promise<void> =>
        runWhileLeading(
          { client, clock, log: silent, namespace: "default", name: "l", identity },
          async (term) => {
            leading.add(identity);
            await new Promise<void>((resolve) =>
              term.addEventListener("abort", () => resolve(), { once: true }),
            );
            leading.delete(identity);
          },
          signal,
        );
      const [first, second] = [new AbortController(), new AbortController()];
      const a = elect("a", first.signal);
      await settle();
      const b = elect("b", second.signal);
      for (let second = 0; second < 30; second++) {
        clock.advance(1_000);
        await settle();
        assert.deepEqual([...leading], ["a"]);
      }
      first.abort();
      await a;
      clock.advance(2_000);
      await settle();
      assert.deepEqual([...leading], ["b"]);
      const lease = await client.get("leases.coordination.k8s.io", "default", "l");
      assert.equal((lease?.["spec"] as { leaseTransitions: number } | undefined)?.leaseTransitions, 1);

      // Somebody else holds it for good: b stops leading before the lease that it knows ends.
      const renewTime = "2099-01-01T00:00:00.000000Z";
      const spec = { holderIdentity: "c", leaseDurationSeconds: 15, renewTime };
      await client.mergePatch("leases.coordination.k8s.io", "default", "l", { spec });
      for (let second = 0; second < 15; second++) {
        clock.advance(1_000);
        await settle();
      }
      assert.deepEqual([...leading], []);
      second.abort();
      await b;
    }));
});

suite("events", () => {
  test("the same event raises the count; another message is another Event; a vanished one is made anew", () =>
    withContext(async ({ client, clock }, { events }) => {
      const about = { apiVersion: "v1", kind: "Service", namespace: "default", name: "web", uid: "u" };
      const input = {
        about,
        type: "Warning",
        reason: "Refused",
        message: "m",
        component: "agent",
        host: "node1",
      } as const;
      events.record(input);
      clock.advance(5_000);
      events.record(input);
      events.record({ ...input, message: "other" });
      events.record({ ...input, about: { ...about, namespace: "nowhere" } });
      await events.settled();
      const list = async (): Promise<unknown[]> =>
        (
          await client.list("events", { namespace: "default", fieldSelector: "involvedObject.name=web" })
        ).items
          .map((event) => [event["message"], event["count"]])
          .toSorted();
      assert.deepEqual(await list(), [
        ["m", 2],
        ["other", 1],
      ]);
      for (const { metadata } of (await client.list("events")).items) {
        await client.delete("events", metadata.namespace ?? "", metadata.name ?? "");
      }
      events.record(input);
      await events.settled();
      assert.deepEqual(await list(), [["m", 1]]);
    }));
});

suite("allocation repair", () => {
  test("missing allocations are added, unused ones removed, what agrees is left alone", () =>
    withContext(async ({ client, store }, context) => {
      await addService(client, "web", {
        type: "NodePort",
        clusterIP: "10.96.0.7",
        ports: [{ port: 80, nodePort: 30_100 }],
      });
      const prefix = "/allocation/";
      const before = (await store.list({ prefix })).entries.map(({ key, value }) => [key, value]);
      assert.equal(await repairAllocations(context), 0);
      const put = (key: string, value: string) => ({ type: "put", key, value }) as const;
      const operations = [
        { type: "delete", key: "/allocation/clusterip/10.96.0.7" } as const,
        put("/allocation/nodeport/30100", "services/default/somebody"),
        put("/allocation/nodeport/30200", "services/default/gone"),
        put("/allocation/clusterip/10.96.0.99", "services/default/web"),
      ];
      await store.transact({ compare: [], operations });
      assert.equal(await repairAllocations(context), 4);
      assert.deepEqual(
        (await store.list({ prefix })).entries.map(({ key, value }) => [key, value]),
        before,
      );
    }));
});
