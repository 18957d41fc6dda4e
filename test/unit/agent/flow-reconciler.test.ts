/** Which flows are stale, and when the table is looked at: with a table in memory and units from the planner. */
import assert from "node:assert/strict";
import { beforeEach, suite, test } from "node:test";
import { FlowReconciler } from "../../../src/agent/conntrack/flow-reconciler.ts";
import { FakeConntrack, FLOW_STATUS, type Flow } from "../../../src/drivers/conntrack/index.ts";
import { ipFamily, ipToBytes } from "../../../src/model/ip.ts";
import type { FeedObject, ObjectKey, Protocol } from "../../../src/model/objects.ts";
import { nodePortAddresses } from "../../../src/plan/node-config.ts";
import { type PackedDestination, PROTOCOL_NUMBERS, packIp, packPort } from "../../../src/plan/packed.ts";
import { Planner } from "../../../src/plan/planner.ts";
import { endpoint, nodeConfig, service, slice } from "../../support/objects.ts";
import { mustIp } from "../../support/packet-cases.ts";
import { TestClock } from "../../support/reconcile.ts";

const CLIENT = "10.244.0.9";
const DNS = [{ name: "dns", protocol: "UDP", port: 53, nodePort: 30_053 }] as const;
const SLICE_PORTS = [{ name: "dns", protocol: "UDP", port: 5353 }] as const;

let nextId = 1;

/** A flow that a client opened to `to` and that is led to `led` (absent: not translated). */
function flow(to: string, port: number, led?: string, ledPort = 5353, more: Partial<Flow> = {}): Flow {
  const address = (text: string) => ipToBytes(mustIp(text));
  const protocol = more.original?.protocol ?? PROTOCOL_NUMBERS.UDP;
  return {
    family: ipFamily(mustIp(to)),
    original: {
      source: address(CLIENT),
      destination: address(to),
      protocol,
      sourcePort: 40_000,
      destinationPort: port,
    },
    reply: {
      source: address(led ?? to),
      destination: address(CLIENT),
      protocol,
      sourcePort: led === undefined ? port : ledPort,
      destinationPort: 40_000,
    },
    status: led === undefined ? 0 : FLOW_STATUS.dstNat,
    id: nextId++,
    zone: 0,
    ...(more.status === undefined ? {} : { status: more.status }),
  };
}

function ofProtocol(protocol: Protocol, made: Flow): Flow {
  const number = PROTOCOL_NUMBERS[protocol];
  return {
    ...made,
    original: { ...made.original, protocol: number },
    reply: { ...made.reply, protocol: number },
  };
}

suite("stale flows", () => {
  let planner: Planner;
  let conntrack: FakeConntrack;
  let clock: TestClock;
  let cleaner: FlowReconciler;
  let deletedByLooks: number;
  /** What a mode like ipvs says of every frontend. */
  let destinations: ReadonlySet<PackedDestination> | undefined;

  const start = (resetTcp = false) => {
    destinations = undefined;
    planner = new Planner(nodeConfig());
    conntrack = new FakeConntrack();
    clock = new TestClock();
    deletedByLooks = 0;
    cleaner = new FlowReconciler({
      driver: conntrack,
      clock,
      log: () => {},
      resetTcp,
      onLook: ({ deleted }) => {
        deletedByLooks += deleted;
      },
      view: {
        targets: (shape) => planner.flowTargets(shape),
        destinations: () => destinations,
        serviceRanges: (family) => planner.serviceRanges(family),
        nodeAddresses: (family) =>
          new Set(
            nodeConfig()
              .nodeAddresses.filter((a) => ipFamily(a) === family)
              .map(packIp),
          ),
        nodePortAddresses: (family) => new Set(nodePortAddresses(nodeConfig(), family).map(packIp)),
      },
    });
  };
  beforeEach(() => start());

  const apply = async (upserts: readonly FeedObject[], removes: readonly ObjectKey[] = []) => {
    planner.begin();
    for (const key of removes) planner.remove(key);
    for (const object of upserts) planner.upsert(object);
    planner.commit(false);
    while (planner.hasChanges) cleaner.changed(planner.takeChanges(1000));
    cleaner.live();
    await cleaner.idle();
    clock.advance(1000);
    await cleaner.idle();
  };
  const left = () => [...conntrack.flows];
  const dns = (more = {}) => service("dns", { ports: DNS, clusterIPs: ["10.96.0.10"], ...more });
  const at = (...addresses: readonly string[]) => slice("dns", addresses, { ports: SLICE_PORTS });

  test("a program of the node keeps its flows where node ports do not answer", async () => {
    const program = flow("127.0.0.1", 30_053);
    const [missed, led] = [flow("192.168.0.2", 30_053), flow("127.0.0.1", 30_053, "10.244.1.9")];
    for (const one of [program, missed, led]) conntrack.flows.add(one);
    await apply([dns({ type: "NodePort" }), at("10.244.1.1")]);
    assert.deepEqual(left(), [program]);
  });

  test("a flow to an endpoint that serves stays, whatever the policy", async () => {
    const kept = [
      flow("10.96.0.10", 53, "10.244.0.2"),
      flow("192.168.0.2", 30_053, "10.244.0.2"),
      flow("10.96.0.10", 53, "10.244.0.3"),
      flow("8.8.8.8", 53),
    ];
    for (const one of kept) conntrack.flows.add(one);
    const ending = endpoint("10.244.0.3", { ready: false, terminating: true });
    await apply([
      dns({ internalTrafficPolicy: "Local" }),
      slice("dns", [endpoint("10.244.0.2"), ending], { ports: SLICE_PORTS }),
    ]);
    assert.deepEqual(left(), kept);
    assert.equal(conntrack.dumps, 1, "one dump, of the family and protocol that changed");
  });

  test("endpoint replaced, at every frontend", async () => {
    await apply([dns({ externalIPs: [mustIp("203.0.113.9")] }), at("10.244.0.2", "10.244.0.3")]);
    const stale = ["10.96.0.10", "203.0.113.9"].map((to) => flow(to, 53, "10.244.0.2"));
    const good = flow("10.96.0.10", 53, "10.244.0.3");
    for (const one of [...stale, flow("192.168.0.2", 30_053, "10.244.0.2"), good]) conntrack.flows.add(one);
    await apply([at("10.244.0.3", "10.244.0.4")]);
    assert.deepEqual(left(), [good]);
    assert.equal(deletedByLooks, 3);
  });

  test("a changed target port counts, not the address alone", async () => {
    await apply([dns(), at("10.244.0.2")]);
    conntrack.flows.add(flow("10.96.0.10", 53, "10.244.0.2"));
    await apply([slice("dns", ["10.244.0.2"], { ports: [{ name: "dns", protocol: "UDP", port: 5454 }] })]);
    assert.deepEqual(left(), []);
  });

  test("scaled to zero", async () => {
    await apply([dns(), at("10.244.0.2")]);
    conntrack.flows.add(flow("10.96.0.10", 53, "10.244.0.2"));
    await apply([at()]);
    assert.deepEqual(left(), []);
  });

  test("service deleted, or its port changed", async () => {
    for (const change of [
      () => apply([], [{ kind: "Service", namespace: "default", name: "dns" }]),
      () => apply([dns({ ports: [{ ...DNS[0], port: 54, nodePort: 30_054 }] })]),
    ]) {
      start();
      await apply([dns(), at("10.244.0.2")]);
      const own = flow("10.96.0.10", 53);
      for (const one of [
        flow("10.96.0.10", 53, "10.244.0.2"),
        flow("192.168.0.2", 30_053, "10.244.0.2"),
        own,
      ])
        conntrack.flows.add(one);
      await change();
      assert.deepEqual(left(), [own], "what was never translated is not ours");
    }
  });

  test("IPVS leads flows and does not mark them as translated", async () => {
    await apply([dns(), at("10.244.0.2")]);
    conntrack.flows.add(flow("10.96.0.10", 53, "10.244.0.2", 5353, { status: 0 }));
    await apply([], [{ kind: "Service", namespace: "default", name: "dns" }]);
    assert.deepEqual(left(), []);
  });

  test("where a mode says where flows are led, that alone counts", async () => {
    const [kept, other] = [flow("10.96.0.10", 53, "10.244.0.2"), flow("10.96.0.10", 53, "10.244.0.3")];
    for (const one of [kept, other]) conntrack.flows.add(one);
    destinations = new Set([packIp(mustIp("10.244.0.2")) + packPort(5353)]);
    await apply([dns(), at("10.244.0.2", "10.244.0.3")]);
    assert.deepEqual(left(), [kept]);
    destinations = new Set();
    await apply([dns({ internalTrafficPolicy: "Local" })]);
    assert.deepEqual(left(), []);
  });

  test("a service deleted while nobody looked is found by its range", async () => {
    conntrack.flows.add(flow("10.96.0.77", 53, "10.244.0.2"));
    const outside = flow("172.20.0.77", 53, "10.244.0.2");
    conntrack.flows.add(outside);
    const cidrs = [{ address: mustIp("10.96.0.0"), prefixBits: 12 }];
    const meta = { namespace: "", name: "k", uid: "", creationTimestampMs: 0, labels: {}, annotations: {} };
    await apply([{ kind: "ServiceCIDR", meta, cidrs }, dns(), at("10.244.0.2")]);
    assert.deepEqual(left(), [outside]);
  });

  test("a frontend that is added takes over flows that were not translated", async () => {
    await apply([dns({ ports: [{ ...DNS[0], nodePort: 0 }] }), at("10.244.0.2")]);
    for (const one of [flow("192.168.0.2", 30_053), flow("203.0.113.9", 53)]) conntrack.flows.add(one);
    await apply([]);
    assert.equal(left().length, 2);
    await apply([dns({ externalIPs: [mustIp("203.0.113.9")] })]);
    assert.deepEqual(left(), []);
  });

  test("a node port counts on addresses of the node alone", async () => {
    const other = flow("198.51.100.1", 30_053, "10.244.7.7");
    conntrack.flows.add(other);
    conntrack.flows.add(flow("127.0.0.1", 30_053, "10.244.7.7"));
    await apply([dns(), at("10.244.0.2")]);
    assert.deepEqual(left(), [other]);
  });

  test("TCP is never touched, and its units cause no look", async () => {
    const tcp = ofProtocol("TCP", flow("10.96.0.10", 80, "10.244.0.2", 8080));
    conntrack.flows.add(tcp);
    await apply([service("dns"), slice("dns", ["10.244.0.2"])]);
    await apply([slice("dns", [])]);
    assert.deepEqual(left(), [tcp]);
    assert.equal(conntrack.dumps, 0);
  });

  test("TCP of a vanished endpoint is ended when that is asked for; a terminating one has not vanished", async () => {
    start(true);
    await apply([service("dns"), slice("dns", ["10.244.0.2"])]);
    const tcp = ofProtocol("TCP", flow("10.96.0.10", 80, "10.244.0.2", 8080));
    conntrack.flows.add(tcp);
    const dead = endpoint("10.244.0.2", { ready: false, serving: false, terminating: true });
    await apply([slice("dns", [dead])]);
    assert.deepEqual(left(), [tcp]);
    await apply([slice("dns", ["10.244.0.3"])]);
    assert.deepEqual(left(), []);
  });

  test("SCTP is ended only while nobody has answered", async () => {
    const ports = [{ name: "dns", protocol: "SCTP", port: 53, nodePort: 0 }] as const;
    const answered = ofProtocol(
      "SCTP",
      flow("10.96.0.10", 53, "10.244.0.2", 5353, { status: FLOW_STATUS.dstNat | FLOW_STATUS.seenReply }),
    );
    conntrack.flows.add(answered);
    conntrack.flows.add(ofProtocol("SCTP", flow("10.96.0.10", 53, "10.244.0.2")));
    await apply([
      dns({ ports }),
      slice("dns", [], { ports: [{ name: "dns", protocol: "SCTP", port: 5353 }] }),
    ]);
    assert.deepEqual(left(), [answered]);
  });

  test("many changes are one dump, and a look that failed is repeated", async () => {
    for (let n = 0; n < 50; n++) {
      planner.begin();
      planner.upsert(service(`s${n}`, { ports: DNS, clusterIPs: [`10.96.1.${n}`] }));
      planner.commit(false);
      cleaner.changed(planner.takeChanges(1000));
      cleaner.live();
    }
    await cleaner.idle();
    assert.equal(conntrack.dumps, 1);
    const find = conntrack.find.bind(conntrack);
    conntrack.find = () => Promise.reject(new Error("busy"));
    conntrack.flows.add(flow("10.96.1.7", 53, "10.244.0.2"));
    clock.advance(500);
    await cleaner.idle();
    assert.equal(left().length, 1);
    conntrack.find = find;
    clock.advance(2000);
    await cleaner.idle();
    assert.deepEqual(left(), []);
  });
});
