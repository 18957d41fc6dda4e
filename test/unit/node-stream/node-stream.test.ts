/** The node stream over real sockets: resume, credits, acknowledgements, refusals, skew, reports. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { MemorySource } from "../../../src/control-plane/node-stream/memory-source.ts";
import { until } from "../../support/until.ts";
import { StreamFixture, service, serviceKey } from "./stream-fixture.ts";

let fixture: StreamFixture;
beforeEach(async () => {
  fixture = new StreamFixture();
  await fixture.open();
});
afterEach(async () => await fixture.close());

suite("node stream", { timeout: 60_000 }, () => {
  test("a new node gets a snapshot, then each change as a difference", async () => {
    fixture.source.apply([service("a"), service("b", "10.96.0.11")]);
    const { recorder, feed } = await fixture.client("n1");
    await until(() => recorder.names.length === 2, "snapshot");
    assert.equal(feed.synced, true);
    assert.equal(feed.ageSeconds(), 0);
    fixture.source.apply([service("c", "10.96.0.12"), serviceKey("a")], 1234);
    await until(() => recorder.batches.length === 2, "difference");
    assert.deepEqual(recorder.names, ["b", "c"]);
    assert.deepEqual(recorder.batches[1]?.batch, {
      revision: 3n,
      snapshot: false,
      origin: "live",
      changedAtMs: 1234,
    });
    assert.deepEqual(recorder.batches[1]?.lines, ["+c", "-a"]);
  });

  test("an empty cluster is a complete state too", async () => {
    const { recorder, feed } = await fixture.client("n1");
    await until(() => feed.synced, "synced");
    assert.equal(recorder.batches[0]?.batch.snapshot, true);
  });

  test("after a reconnect and after a restart of the control plane no snapshot is sent", async () => {
    fixture.source.apply([service("a"), service("b", "10.96.0.11")]);
    const { recorder, feed } = await fixture.client("n1");
    await until(() => recorder.names.length === 2, "snapshot");
    for (let round = 0; round < 3; round++) {
      await fixture.stopServer();
      fixture.source.apply(round === 1 ? [serviceKey("b")] : [service(`r${round}`, `10.96.1.${round}`)]);
      await fixture.startServer();
      await until(() => feed.counters.differences === round + 1, `difference ${round}`);
    }
    assert.deepEqual(recorder.names, ["a", "r0", "r2"]);
    assert.equal(feed.counters.snapshots, 1);
    assert.equal(fixture.hub.counters().snapshots, 0);
    assert.equal(fixture.hub.counters().resumed, 1);
    assert.ok(feed.counters.connects >= 4);
    assert.equal(recorder.batches.filter(({ batch }) => batch.snapshot).length, 1);
  });

  test("a node that was away longer than removals are kept gets a snapshot, which may remove what it likes", async () => {
    fixture.source.apply([service("a"), service("b", "10.96.0.11"), service("c", "10.96.0.12")]);
    const { recorder, feed } = await fixture.client("n1");
    await until(() => recorder.names.length === 3, "snapshot");
    await fixture.stopServer();
    fixture.source.apply([serviceKey("a"), serviceKey("b"), serviceKey("c")]);
    fixture.source.apply([service("d")]);
    fixture.source.compact();
    await fixture.startServer();
    await until(() => recorder.names.join() === "d", "second snapshot");
    assert.equal(feed.counters.snapshots, 2);
  });

  test("a node that sees none of many changes is moved on, so that it can resume later", async () => {
    const { feed, recorder } = await fixture.client("n1");
    await until(() => feed.synced, "synced");
    for (let change = 0; change < 2500; change++) fixture.source.apply([]);
    await until(() => (recorder.batches.at(-1)?.batch.revision ?? 0n) > 1900n, "progress");
    assert.deepEqual(recorder.batches.at(-1)?.lines, []);
    assert.ok(recorder.batches.length <= 4);
    await fixture.stopServer();
    fixture.source.apply([service("a")]);
    await fixture.startServer();
    await until(() => recorder.names.length === 1, "resumed");
    assert.equal(feed.counters.snapshots, 1);
  });

  test("acknowledgements and keyed refusals reach the server, each refusal once", async () => {
    fixture.source.apply([service("a")]);
    const { recorder, feed } = await fixture.client("n1");
    await until(() => feed.synced, "synced");
    const problem = {
      object: serviceKey("a"),
      reason: "KernelRefused",
      field: "spec.ports[0]",
      message: "no room",
    };
    feed.acknowledge({ revision: 2n, refused: [problem] });
    await until(() => fixture.refused.length === 1, "refusal");
    assert.deepEqual(fixture.refused[0], { node: "n1", problems: [problem] });
    fixture.source.apply([service("b")]);
    await until(() => recorder.batches.length === 2, "change");
    feed.acknowledge({ revision: 3n, refused: [problem] });
    await until(() => fixture.hub.statuses()[0]?.programmedRevision === 3, "programmed");
    const [status] = fixture.hub.statuses();
    assert.equal(status?.receivedRevision, 3);
    assert.deepEqual(status?.refused, [problem]);
    assert.equal(fixture.refused.length, 1);
    feed.acknowledge({ revision: 3n, refused: [] });
    await until(() => fixture.hub.statuses()[0]?.refused.length === 0, "mended");
    await fixture.stopServer();
    await fixture.startServer();
    await until(() => fixture.hub.statuses()[0]?.programmedRevision === 3, "programmed, said again");
  });

  test("a foreign node name and a client without a node's certificate are refused", async () => {
    const n2 = await fixture.connectionOf("n2");
    const foreign = await fixture.client("n1", n2);
    await until(() => foreign.recorder.connections.length > 0, "refusal");
    assert.match(foreign.recorder.connections[0] ?? "", /down: the certificate is for node "n2", not "n1"/);
    assert.equal(foreign.feed.synced, false);
    const pki = join(fixture.folder, "control-plane", "pki");
    const admin = await fixture.client("n3", {
      certificateFile: join(pki, "admin.crt"),
      keyFile: join(pki, "admin.key"),
    });
    await until(() => admin.recorder.connections.length > 0, "refusal");
    assert.match(admin.recorder.connections[0] ?? "", /a certificate for system:node:NAME is needed/);
  });

  test("a server of another authority is not talked to, nor is a node of another authority", async () => {
    const other = new StreamFixture();
    await other.open();
    const { address } = await other.connectionOf("n1");
    const mine = await fixture.client("n1", { address });
    await until(() => mine.recorder.connections.length > 0, "server refused");
    assert.match(mine.recorder.connections[0] ?? "", /certificate/i);
    const theirs = await other.connectionOf("n1");
    const { address: ours, caFile } = await fixture.connectionOf("n1");
    const foreign = await fixture.client("n1", { ...theirs, address: ours, caFile });
    await until(() => foreign.recorder.connections.length > 0, "node refused");
    assert.equal(foreign.feed.synced || mine.feed.synced, false);
    assert.equal(fixture.hub.counters().connected + other.hub.counters().connected, 0);
    await other.close();
  });

  test("the newer stream of one node and role wins; another role stands beside it", async () => {
    const first = await fixture.client("n1", { backoff: { minMs: 20, maxMs: 100, refusedMs: 60_000 } });
    await until(() => first.feed.synced, "first");
    const dns = await fixture.client("n1", { role: "dns" });
    await until(() => dns.feed.synced, "dns");
    const second = await fixture.client("n1");
    await until(() => first.recorder.connections.length === 2, "first ended");
    assert.match(first.recorder.connections[1] ?? "", /^down: a newer stream of this node and role/);
    await until(() => second.feed.synced, "second");
    assert.deepEqual(
      fixture.hub
        .statuses()
        .map(({ node, role }) => `${node}/${role}`)
        .sort(),
      ["n1/agent", "n1/dns"],
    );
    fixture.source.apply([service("a")]);
    await until(() => second.recorder.names.length === 1, "second goes on");
    assert.deepEqual(first.recorder.names, []);
  });

  test("a snapshot of another epoch that removes most is refused, kept out, told, and taken when authoritative", async () => {
    fixture.source.apply(["a", "b", "c", "d"].map((name) => service(name)));
    const { recorder, feed, problems } = await fixture.client("n1");
    await until(() => recorder.names.length === 4, "snapshot");
    await fixture.stopServer();
    fixture.source = new MemorySource("fresh", 50);
    fixture.source.apply([service("d")]);
    await fixture.startServer();
    await until(() => feed.counters.snapshotsRefused === 1, "refused");
    await until(() => fixture.refused.length === 1, "told");
    assert.deepEqual(recorder.names, ["a", "b", "c", "d"]);
    assert.match(problems.join(), /would remove 3 of 4/);
    assert.equal(fixture.refused[0]?.problems[0]?.reason, "SnapshotRefused");
    assert.ok(feed.problems.length === 1);
    feed.heartbeat();
    await until(() => fixture.heartbeats.length === 1, "heartbeat of a node that refuses");
    fixture.source.apply([service("e")]);
    await fixture.stopServer();
    fixture.source.isAuthoritative = true;
    await fixture.startServer();
    await until(() => recorder.names.join() === "d,e", "authoritative");
    assert.equal(feed.problems.length, 0);
  });

  test("a snapshot of another epoch with most of what is known is taken", async () => {
    fixture.source.apply(["a", "b", "c", "d"].map((name) => service(name)));
    const { recorder } = await fixture.client("n1");
    await until(() => recorder.names.length === 4, "snapshot");
    await fixture.stopServer();
    fixture.source = new MemorySource("restored");
    fixture.source.apply(["a", "b"].map((name) => service(name)));
    await fixture.startServer();
    await until(() => recorder.names.length === 2, "taken");
  });

  test("reports go whole, in parts below the limit, again after a reconnect, and their events once", async () => {
    const { feed } = await fixture.client("n1");
    const pods = Array.from({ length: 30 }, (_, index) => ({
      metadata: { name: `p${index}` },
      text: "x".repeat(50_000),
    }));
    feed.report({ node: { kind: "Node" }, pods, events: [{ reason: "Started" }] });
    await until(() => fixture.reports.length === 1, "report");
    assert.deepEqual(fixture.reports[0], {
      node: "n1",
      report: { node: { kind: "Node" }, pods, events: [{ reason: "Started" }] },
    });
    feed.report({ node: { kind: "Node", second: true }, pods: [], events: [] });
    await until(() => fixture.reports.length === 2, "second report");
    assert.deepEqual(fixture.reports[1]?.report, {
      node: { kind: "Node", second: true },
      pods: [],
      events: [],
    });
    await fixture.stopServer();
    feed.report({ node: { kind: "Node", third: true }, pods: [], events: [{ reason: "Late" }] });
    await fixture.startServer();
    await until(() => fixture.reports.length === 3, "report after reconnect");
    assert.deepEqual(fixture.reports[2]?.report.events, [{ reason: "Late" }]);
    fixture.isReportWanted = true;
    feed.heartbeat();
    await until(() => fixture.reports.length === 4, "report that was asked for");
    assert.deepEqual(fixture.reports[3]?.report, {
      node: { kind: "Node", third: true },
      pods: [],
      events: [],
    });
  });

  test("missing certificates are an error at start that names the file", async () => {
    const client = await fixture.client("n1", { caFile: join(fixture.folder, "none.crt") });
    await assert.rejects(client.ended, { code: "FILE_UNREADABLE", message: /none\.crt/ });
    const broken = await fixture.client("n1", {
      certificateFile: join(import.meta.dirname, "stream-fixture.ts"),
    });
    await assert.rejects(broken.ended, { code: "CONFIG_INVALID" });
  });

  test("kept state: a node boots from it while the control plane is gone, and resumes without a snapshot", async () => {
    const stateDir = join(fixture.folder, "state");
    fixture.source.apply([service("a"), service("b", "10.96.0.11")]);
    const first = await fixture.client("n1", { stateDir });
    await until(() => first.recorder.names.length === 2, "snapshot");
    fixture.source.apply([service("c", "10.96.0.12")]);
    await until(() => first.recorder.names.length === 3, "difference");
    await first.stop();
    await fixture.stopServer();
    const second = await fixture.client("n1", { stateDir });
    await until(() => second.feed.synced, "boot from disk");
    assert.deepEqual(second.recorder.names, ["a", "b", "c"]);
    assert.deepEqual(second.recorder.batches[0]?.batch, {
      revision: 3n,
      snapshot: true,
      origin: "persisted",
      changedAtMs: 0,
    });
    assert.ok(second.feed.ageSeconds() > 0);
    second.feed.acknowledge({ revision: 3n, refused: [] });
    fixture.source.apply([serviceKey("a")]);
    await fixture.startServer();
    await until(() => second.recorder.names.length === 2, "catch up");
    assert.equal(second.feed.counters.snapshots, 0);
    assert.equal(second.feed.ageSeconds(), 0);
    await until(
      () => fixture.hub.statuses()[0]?.programmedRevision === 3,
      "acknowledgement from before the stream",
    );
  });

  test("kept state of other sets is used to boot, then everything is fetched anew", async () => {
    const stateDir = join(fixture.folder, "state");
    const namespace = {
      kind: "Namespace",
      meta: { namespace: "", name: "x", uid: "", creationTimestampMs: 0, labels: {}, annotations: {} },
    } as const;
    fixture.source.apply([service("a"), namespace]);
    const first = await fixture.client("n1", { stateDir });
    await until(() => first.recorder.names.length === 1, "snapshot");
    await first.stop();
    const second = await fixture.client("n1", { stateDir, sets: ["Service", "Namespace"] });
    await until(() => second.recorder.names.length === 2, "with namespaces");
    assert.equal(second.feed.counters.snapshots, 1);
    assert.equal(second.recorder.batches[0]?.batch.origin, "persisted");
  });

  test("a folder that cannot be written to is told, and everything goes on without it", async () => {
    const stateDir = join(fixture.folder, "state");
    writeFileSync(stateDir, "a file in the way");
    fixture.source.apply([service("a")]);
    const { recorder, problems } = await fixture.client("n1", { stateDir });
    await until(() => recorder.names.length === 1, "snapshot");
    fixture.source.apply([service("b")]);
    await until(() => recorder.names.length === 2, "difference");
    assert.match(problems.join("; "), /STATE|persisted state|nothing is kept on disk/);
  });
});
