/** Probes of a workload over time: thresholds, start-up, restarts, what is kept. Semantics: kubernetes/pkg/kubelet/prober. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseManifest } from "../../../src/agent/workloads/manifest.ts";
import type { ProbeType } from "../../../src/agent/workloads/probe-state.ts";
import { afterProbe, initialProbeState } from "../../../src/agent/workloads/probe-state.ts";
import type { Seen } from "../../../src/agent/workloads/run-probe.ts";
import { type KnownWorkload, Workload, type WorkloadEvent } from "../../../src/agent/workloads/workload.ts";
import { FakeClock } from "./fake-clock.ts";

const OK: Seen = { result: "success", message: "fine" };
const BAD: Seen = { result: "failure", message: "refused" };

interface Rig {
  readonly clock: FakeClock;
  readonly workload: Workload;
  readonly events: WorkloadEvent[];
  readonly restarts: string[];
  /** What each type of probe sees next; told apart by their port. */
  readonly sees: Record<ProbeType, Seen>;
  readonly asked: string[];
}

const PORTS: Readonly<Record<ProbeType, number>> = { startup: 1, liveness: 2, readiness: 3 };

function rig(
  probes: Partial<Record<ProbeType, object>>,
  options: { unit?: string; known?: KnownWorkload } = {},
): Rig {
  const clock = new FakeClock();
  const container: Record<string, unknown> = { name: "c" };
  for (const [type, fields] of Object.entries(probes) as [ProbeType, object][]) {
    container[`${type}Probe`] = { tcpSocket: { port: PORTS[type] }, ...fields };
  }
  const annotations = {
    "nodeplane.dev/pod-ip": "10.0.0.9",
    ...(options.unit === undefined ? {} : { "nodeplane.dev/unit": options.unit }),
  };
  const manifest = parseManifest({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "w", annotations },
    spec: { containers: [container] },
  });
  const sees: Record<ProbeType, Seen> = { startup: OK, liveness: OK, readiness: OK };
  const [events, restarts, asked]: [WorkloadEvent[], string[], string[]] = [[], [], []];
  const workload = new Workload({
    manifest,
    hash: "h1",
    file: "f",
    clock,
    known: options.known,
    nodeAddresses: () => [],
    runProbe: async (spec, target) => {
      const type = (Object.keys(PORTS) as ProbeType[]).find(
        (name) => spec.action.kind === "tcpSocket" && PORTS[name] === spec.action.port,
      );
      asked.push(`${type} ${target.address}`);
      return type === undefined ? BAD : sees[type];
    },
    runtime: {
      restart: async ({ unit }) => {
        restarts.push(unit ?? "");
        return { kind: "restarted", message: `restarted ${unit}` };
      },
    },
    onChange: () => undefined,
    onEvent: (event) => events.push(event),
    onProbe: () => undefined,
  });
  return { clock, workload, events, restarts, sees, asked };
}

const thresholds: readonly { name: string; seen: string; success: number; failure: number; want: string }[] =
  [
    // One letter a probe: what was seen, then what holds.
    { name: "ready at the first success", seen: "S", success: 1, failure: 3, want: "S" },
    { name: "ready at the second success in a row", seen: "SFSS", success: 2, failure: 1, want: "FFFS" },
    {
      name: "unready at the third failure in a row",
      seen: "SFFSFFF",
      success: 1,
      failure: 3,
      want: "SSSSSSF",
    },
    { name: "a failure in between starts anew", seen: "SFSFSF", success: 1, failure: 2, want: "SSSSSS" },
  ];

for (const row of thresholds) {
  test(`threshold: ${row.name}`, () => {
    let state = initialProbeState("readiness");
    const spec = { successThreshold: row.success, failureThreshold: row.failure };
    const results = [...row.seen].map((letter) => {
      state = afterProbe(state, spec, letter === "S" ? OK : BAD);
      return state.result === "success" ? "S" : "F";
    });
    assert.equal(results.join(""), row.want);
  });
}

test("a workload without probes is ready at once", () => {
  assert.equal(rig({}).workload.isReady, true);
});

test("readiness: initial delay, period, threshold, recovery, one event for each change", async () => {
  const { clock, workload, events, sees, asked } = rig({
    readiness: { initialDelaySeconds: 5, periodSeconds: 2, failureThreshold: 2 },
  });
  await clock.advance(4999);
  assert.deepEqual(asked, []);
  assert.equal(workload.isReady, false);
  await clock.advance(1);
  assert.deepEqual(asked, ["readiness 10.0.0.9"]);
  assert.equal(workload.isReady, true);
  sees.readiness = BAD;
  await clock.advance(2000);
  assert.equal(workload.isReady, true, "one failure of two");
  await clock.advance(2000);
  assert.equal(workload.isReady, false);
  await clock.advance(10_000);
  assert.equal(
    events.filter((event) => event.reason === "Unhealthy").length,
    2,
    "first failure and threshold",
  );
  sees.readiness = OK;
  await clock.advance(2000);
  assert.equal(workload.isReady, true);
  assert.equal(workload.isAlive, true, "readiness never kills");
});

test("startup: the others wait for it; liveness and readiness delays count from the start", async () => {
  const { clock, workload, sees, asked } = rig({
    startup: { periodSeconds: 1, failureThreshold: 10 },
    readiness: { periodSeconds: 1 },
  });
  sees.startup = BAD;
  await clock.advance(3000);
  assert.ok(asked.every((text) => text.startsWith("startup")));
  assert.equal(workload.isReady, false);
  sees.startup = OK;
  await clock.advance(1000);
  assert.equal(workload.isReady, true);
  asked.length = 0;
  await clock.advance(5000);
  assert.ok(!asked.includes("startup 10.0.0.9"), "a startup probe that succeeded is over");
});

test("liveness: restarts the unit, counts it, starts probes anew, then waits longer and longer", async () => {
  const { clock, workload, events, restarts, sees } = rig(
    { liveness: { periodSeconds: 1, failureThreshold: 3 }, readiness: { periodSeconds: 1 } },
    { unit: "web.service" },
  );
  await clock.advance(1000);
  assert.equal(workload.isReady, true);
  sees.liveness = BAD;
  await clock.advance(3000);
  assert.deepEqual(restarts, ["web.service"]);
  assert.equal(workload.restarts, 1);
  assert.deepEqual(events.map((event) => event.reason).slice(0, 4), [
    "Unhealthy",
    "Unhealthy",
    "Killing",
    "Started",
  ]);
  await clock.advance(8000);
  assert.equal(restarts.length, 1, "not again within 10 s");
  await clock.advance(4000);
  assert.equal(restarts.length, 2);
  await clock.advance(17_000);
  assert.equal(restarts.length, 2, "not again within 20 s");
  await clock.advance(10_000);
  assert.equal(restarts.length, 3);
});

test("liveness without a unit: not alive, not ready, an event; well again when the probe is", async () => {
  const { clock, workload, events, restarts, sees } = rig({
    liveness: { periodSeconds: 1, failureThreshold: 1 },
  });
  sees.liveness = BAD;
  await clock.advance(1000);
  assert.equal(workload.isAlive, false);
  assert.equal(workload.isReady, false);
  assert.deepEqual(restarts, []);
  assert.ok(events.some((event) => event.message.includes("Liveness probe failed: refused (container c)")));
  sees.liveness = OK;
  await clock.advance(1000);
  assert.equal(workload.isReady, true);
});

test("what an earlier agent knew holds until probes say otherwise, and is asked at once", async () => {
  const known: KnownWorkload = {
    hash: "h1",
    startedAtMs: 5,
    restarts: 2,
    containers: { c: { isStarted: true, isReady: true, isAlive: true } },
  };
  const probes = { startup: {}, readiness: { initialDelaySeconds: 60, failureThreshold: 1 } };
  const { clock, workload, sees } = rig(probes, { known });
  assert.equal(workload.isReady, true);
  assert.equal(workload.restarts, 2);
  assert.equal(workload.startedAtMs, 5);
  sees.readiness = BAD;
  await clock.advance(0);
  assert.equal(workload.isReady, false);
  const other = rig(probes, { known: { ...known, hash: "h0" } }).workload;
  assert.equal(other.isReady, false, "another manifest is another workload");
});

test("known() is what a later agent needs", async () => {
  const { clock, workload, sees } = rig({
    readiness: { periodSeconds: 1 },
    liveness: { periodSeconds: 1, failureThreshold: 1 },
  });
  sees.liveness = BAD;
  await clock.advance(1000);
  assert.equal(workload.isReady, false);
  assert.deepEqual(workload.known().containers, { c: { isStarted: true, isReady: true, isAlive: false } });
});

test("a stopped workload asks no more", async () => {
  const { clock, workload, asked } = rig({ readiness: { periodSeconds: 1 } });
  await clock.advance(1000);
  workload.stop();
  asked.length = 0;
  await clock.advance(10_000);
  assert.deepEqual(asked, []);
});

test("initial delay, period and restart are the same when somebody sets the clock back", async () => {
  const { clock, asked, restarts, sees } = rig(
    {
      startup: { initialDelaySeconds: 3, periodSeconds: 2, failureThreshold: 1 },
      liveness: { initialDelaySeconds: 5, periodSeconds: 2, failureThreshold: 1 },
    },
    { unit: "u.service" },
  );
  await clock.advance(2_000);
  clock.jump(-3_600_000);
  await clock.advance(1_000);
  assert.deepEqual(asked, ["startup 10.0.0.9"]);
  await clock.advance(5_000);
  assert.deepEqual(asked.slice(1, 2), ["liveness 10.0.0.9"]);
  clock.jump(-3_600_000);
  sees.liveness = BAD;
  await clock.advance(2_000);
  assert.deepEqual(restarts, ["u.service"]);
  clock.jump(-3_600_000);
  await clock.advance(60_000);
  assert.ok(restarts.length > 1, "and another one");
});
