/** A whole control plane on its own store: its nodes resume over its restarts, and nothing is fetched twice. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { certificateCommand } from "../../../src/cli/certificate.ts";
import { loadConfig } from "../../../src/control-plane/config.ts";
import { type Ready, runControlPlane } from "../../../src/control-plane/daemon.ts";
import { KINDS } from "../../../src/control-plane/kinds/index.ts";
import { StreamFeed } from "../../../src/feed/stream/stream-feed.ts";
import { freePort } from "../../support/free-port.ts";
import { until } from "../../support/until.ts";
import { Recorder } from "./stream-fixture.ts";

const quiet = { info: () => {}, warn: () => {}, error: () => {} };

test("nodes resume over a restart of the control plane", { timeout: 60_000 }, async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "np-restart-"));
  const secure = await freePort();
  const stream = await freePort();
  const start = async (): Promise<() => Promise<void>> => {
    const config = loadConfig([
      "--data-dir",
      dataDir,
      "--bind-address",
      "127.0.0.1",
      "--advertise-address",
      "127.0.0.1",
      "--secure-port",
      `${secure}`,
      "--stream-port",
      `${stream}`,
    ]);
    assert.ok(config !== "help");
    const abort = new AbortController();
    const ready = Promise.withResolvers<Ready>();
    const ended = runControlPlane(
      { config, kinds: KINDS, controllers: [], log: quiet, onReady: ready.resolve },
      abort.signal,
    );
    await Promise.race([ready.promise, ended.then(() => assert.fail("it ended"))]);
    return async () => {
      abort.abort();
      await ended;
    };
  };
  let stop = await start();
  const pki = join(dataDir, "node");
  const io = {
    out: () => {},
    err: () => {},
    isTerminal: false,
    env: {},
    signal: new AbortController().signal,
  };
  assert.equal(await certificateCommand(["node", "n1", "--data-dir", dataDir, "--out", pki], io), 0);
  const file = (name: string): string => join(pki, name);
  const recorder = new Recorder();
  const feed = new StreamFeed({
    address: `127.0.0.1:${stream}`,
    caFile: file("ca.crt"),
    certificateFile: file("node.crt"),
    keyFile: file("node.key"),
    nodeName: "n1",
    role: "agent",
    sets: ["Namespace", "Node"],
    stateDir: join(dataDir, "state"),
    backoff: { minMs: 20, maxMs: 100, refusedMs: 600_000 },
  });
  const abort = new AbortController();
  const ended = feed.run(recorder, abort.signal);
  await until(() => recorder.names.includes("kube-system"), "namespaces");
  const report = (zone: string) => ({
    node: {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "n1", labels: { "topology.kubernetes.io/zone": zone } },
      spec: {},
      status: {},
    },
    pods: [],
    events: [],
  });
  feed.report(report("one"));
  feed.heartbeat();
  await until(() => recorder.names.includes("n1"), "the node's own object comes back");
  for (const zone of ["two", "three"]) {
    await stop();
    feed.report(report(zone));
    stop = await start();
    const zoneNow = () => {
      const node = recorder.objects.get("Node//n1");
      return node?.kind === "Node" ? node.zone : undefined;
    };
    await until(() => zoneNow() === zone, `report after restart: ${zone}`);
  }
  assert.equal(feed.counters.snapshots, 1);
  assert.ok(feed.counters.differences >= 3);
  abort.abort();
  await ended;
  await stop();
  rmSync(dataDir, { recursive: true });
});
