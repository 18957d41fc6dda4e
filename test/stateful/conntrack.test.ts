/**
 * The cases of packet-cases.yaml about flows that exist already, by their ids: live UDP flows from one socket, TCP
 * connections that must go on. NODEPLANE_TEST_MODE and NODEPLANE_TEST_VARIANT choose the mode.
 */
import assert from "node:assert/strict";
import { after, afterEach, before, suite, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { FixtureEndpoint, FixtureService } from "../packet-cases/case-file.ts";
import {
  backendIn,
  eventually,
  type Flow,
  modeUnderTest,
  overUdp,
  Scene,
  withEndpoints,
} from "../packet-cases/scene.ts";
import { STRETCH } from "../support/patience.ts";

const isIpvs = modeUnderTest() === "ipvs";

suite("stateful: flows", () => {
  let scene: Scene;
  let web: FixtureService;
  let dns: FixtureService;
  /** 10.180.0.1 on this node, 10.180.2.1 on another. */
  let local: FixtureEndpoint;
  let remote: FixtureEndpoint;

  before(async () => {
    scene = new Scene(["general", "noeps", "sameport_protos", "itp_local_some", "affinity"]);
    web = scene.fixture("general", "svc1");
    dns = scene.fixture("general", "svc2");
    const [first, second] = dns.endpoints;
    assert.ok(first !== undefined && second !== undefined);
    [local, remote] = [first, second];
    scene.network.route([dns]);
    await scene.startAgent();
  });
  afterEach(async () => {
    scene.endFlows();
    await scene.unlisten();
    await scene.apply([]);
  });
  after(() => scene.close());

  /** Entries of UDP flows to an address and port, as the tool of the administrator shows them. */
  const entries = (destination: string, port: number): number => {
    const listing = scene.network.namespaces.run(
      "node",
      "conntrack",
      "-L",
      "-p",
      "udp",
      "--orig-dst",
      destination,
    );
    return listing.split("\n").filter((line) => line.includes(`dport=${port} `)).length;
  };
  /** Flows move within a moment of the rules being live; a machine with much else to do may take longer. */
  const SOON_MS = 15_000;

  /** Nothing comes any more: two looks show as many lines. */
  const silence = (what: string, { lines }: Flow) =>
    eventually(what, SOON_MS, async () => {
      const heard = lines.length;
      await sleep(300 * STRETCH);
      return lines.length === heard;
    });

  test("udp-endpoint-replaced", async () => {
    await scene.listen(dns.endpoints, "UDP", 53);
    await scene.apply([dns]);
    const flow = await scene.flow("pod", "udp", "-", "172.30.0.42", 53);
    const before = backendIn(await flow.next(/^answer backend/));
    assert.equal(backendIn(await flow.next(/^answer backend/)), before);
    const [other] = dns.endpoints.filter(({ addr }) => !before.startsWith(`${addr}:`));
    assert.ok(other !== undefined);
    await scene.apply([withEndpoints(dns, [other])]);
    await flow.next(new RegExp(`^answer backend ${other.addr}:53 `), SOON_MS);
  });

  test("udp-empty-to-nonempty", async () => {
    const empty = overUdp(scene.fixture("noeps"));
    await scene.listen([local], "UDP", 80);
    await scene.apply([empty]);
    const flow = await scene.flow("pod", "udp", "-", "172.30.0.41", 80);
    await flow.next(/^error ECONNREFUSED/);
    await scene.apply([withEndpoints(empty, [local])]);
    await flow.next(/^answer backend 10\.180\.0\.1:80 /, SOON_MS);
  });

  test("an added frontend takes over flows that were not translated (udp-empty-to-nonempty at a node port)", async () => {
    const service = withEndpoints(overUdp(scene.fixture("noeps")), [local]);
    await scene.listen([local], "UDP", 80);
    const flow = await scene.flow("ext", "udp", "-", "192.168.0.2", 3001);
    const unheard = await scene.flow("node", "sink", "192.168.0.2", 3001);
    await unheard.next(/got/);
    await scene.apply([service]);
    await flow.next(/^answer backend 10\.180\.0\.1:80 /, SOON_MS);
  });

  test("udp-unready-then-ready", async () => {
    const unready = { ...local, ready: false, serving: false };
    await scene.listen([local], "UDP", 53);
    await scene.apply([withEndpoints(dns, [unready])]);
    const flow = await scene.flow("pod", "udp", "-", "172.30.0.42", 53);
    await flow.next(/^error ECONNREFUSED/);
    await scene.apply([withEndpoints(dns, [local])]);
    await flow.next(/^answer backend 10\.180\.0\.1:53 /, SOON_MS);
  });

  test("udp-nonempty-to-empty", async () => {
    await scene.apply([withEndpoints(dns, [local])]);
    const sink = await scene.flow(scene.network.backendRole(local.addr, true), "sink", local.addr, 53);
    const flow = await scene.flow("pod", "udp", "-", "172.30.0.42", 53);
    await sink.next(/got/);
    assert.ok(entries("172.30.0.42", 53) > 0);
    await scene.apply([withEndpoints(dns, [])]);
    await flow.next(/^error ECONNREFUSED/, SOON_MS);
    await silence("no packet reaches the endpoint that is gone", sink);
    await eventually("no entry", SOON_MS, () => entries("172.30.0.42", 53) === 0);
  });

  test("udp-service-deleted", async () => {
    const service = withEndpoints(overUdp(scene.fixture("noeps")), [local]);
    await scene.apply([service]);
    const sink = await scene.flow(scene.network.backendRole(local.addr, true), "sink", local.addr, 80);
    const frontends = [
      ["pod", "172.30.0.41", 80],
      ["ext", "192.168.0.2", 3001],
      ["ext", "1.2.3.4", 80],
      ["ext", "192.168.99.11", 80],
    ] as const;
    for (const [role, destination, port] of frontends) await scene.flow(role, "udp", "-", destination, port);
    for (const [, destination, port] of frontends)
      await eventually("an entry", SOON_MS, () => entries(destination, port) === 1);
    await scene.apply([]);
    await silence("silence at the old endpoint", sink);
    const listing = scene.network.namespaces.run("node", "conntrack", "-L", "-p", "udp");
    // The direction of replies; late words of other tests' endpoints are flows of their own.
    const led = new RegExp(`src=${local.addr} dst=\\S+ sport=80 `);
    assert.doesNotMatch(listing, led, "still led to the old endpoint");
  });

  test("udp-nodeport", async () => {
    const service = scene.fixture("sameport_protos");
    await scene.listen([local, remote], "UDP", 8081);
    await scene.apply([service]);
    const flow = await scene.flow("ext", "udp", "-", "192.168.0.2", 3001);
    await flow.next(/^answer backend 10\.180\.0\.1:8081 /);
    await scene.apply([withEndpoints(service, [remote])]);
    await flow.next(/^answer backend 10\.180\.2\.1:8081 /, SOON_MS);
  });

  test("a changed target port of the same endpoint moves flows", async () => {
    const other = {
      ...dns,
      ports: dns.ports.map((port) => (port.name === "dns-udp" ? { ...port, targetPort: 54 } : port)),
    };
    await scene.listen([local], "UDP", 53);
    await scene.listen([local], "UDP", 54);
    await scene.apply([withEndpoints(dns, [local])]);
    const flow = await scene.flow("pod", "udp", "-", "172.30.0.42", 53);
    await flow.next(/^answer backend 10\.180\.0\.1:53 /);
    await scene.apply([withEndpoints(other, [local])]);
    await flow.next(/^answer backend 10\.180\.0\.1:54 /, SOON_MS);
  });

  test("a changed service port ends flows to the old one", async () => {
    const other = {
      ...dns,
      ports: dns.ports.map((port) => (port.name === "dns-udp" ? { ...port, port: 5300 } : port)),
    };
    await scene.apply([withEndpoints(dns, [local])]);
    const sink = await scene.flow(scene.network.backendRole(local.addr, true), "sink", local.addr, 53);
    await scene.flow("pod", "udp", "-", "172.30.0.42", 53);
    await sink.next(/got/);
    await scene.apply([withEndpoints(other, [local])]);
    await silence("silence at the endpoint", sink);
  });

  test("externalTrafficPolicy Local: flows that work stay, those of a lost local endpoint go to the next one", async () => {
    const service = overUdp(scene.fixture("noeps"));
    const asLocal = { ...service, spec: { ...service.spec, externalTrafficPolicy: "Local" } };
    const [next] = scene.fixture("itp_local_some").endpoints;
    assert.ok(next?.local === true);
    await scene.listen([local, remote, next], "UDP", 80);
    await scene.apply([withEndpoints(service, [remote])]);
    const old = await scene.flow("ext", "udp", "-", "192.168.0.2", 3001);
    await old.next(/^answer backend 10\.180\.2\.1:80 /);
    await scene.apply([withEndpoints(asLocal, [local, remote])]);
    await sleep(700);
    // In ipvs mode UDP flows follow the endpoints that are wanted now.
    await old.next(isIpvs ? /^answer backend 10\.180\.0\.1:80 / : /^answer backend 10\.180\.2\.1:80 /);
    const flow = await scene.flow("ext", "udp", "-", "192.168.0.2", 3001);
    await flow.next(/^answer backend 10\.180\.0\.1:80 /);
    await scene.apply([withEndpoints(asLocal, [remote])]);
    await silence("no answer while nobody is local", flow);
    await scene.apply([withEndpoints(asLocal, [next, remote])]);
    await flow.next(/^answer backend 10\.0\.1\.1:80 /, SOON_MS);
  });

  test("udp-itp-local-swap", async () => {
    const service = overUdp(scene.fixture("itp_local_some"));
    const [here, ...elsewhere] = service.endpoints;
    assert.ok(here !== undefined && elsewhere.length === 2);
    await scene.listen([here, local], "UDP", 80);
    await scene.apply([service]);
    const flow = await scene.flow("pod", "udp", "-", "172.30.1.1", 80);
    await flow.next(/^answer backend 10\.0\.1\.1:80 /);
    await scene.apply([withEndpoints(service, elsewhere)]);
    await silence("no answer while nobody is local", flow);
    await scene.apply([withEndpoints(service, [local, ...elsewhere])]);
    await flow.next(/^answer backend 10\.180\.0\.1:80 /, SOON_MS);
  });

  test("tcp-established-survives", async () => {
    await scene.apply([withEndpoints(web, [local])]);
    await scene.flow(scene.network.backendRole(local.addr, true), "echo", local.addr, 80);
    const flow = await scene.flow("pod", "tcp", "172.30.0.41", 80);
    await flow.next(/^answer/);
    await scene.apply([withEndpoints(web, [{ ...local, ready: false, serving: true, terminating: true }])]);
    await flow.next(/^answer/);
    await scene.apply([withEndpoints(web, [{ ...local, ready: false, serving: false, terminating: true }])]);
    await flow.next(/^answer/);
    // Even without any endpoint, and beside a UDP service whose flows are looked at.
    await scene.apply([withEndpoints(web, []), dns]);
    await sleep(700);
    await flow.next(/^answer/);
    assert.deepEqual(
      flow.lines.filter((line) => !/^(answer|open)/.test(line)),
      [],
    );
  });

  test("tcp-agent-restart", async () => {
    await scene.listen([local], "TCP", 80);
    await scene.apply([withEndpoints(web, [local])]);
    let isOver = false;
    let connects = 0;
    const failures: string[] = [];
    const loop = (async () => {
      while (!isOver) {
        const { others } = await scene.connect("pod", "172.30.0.41", 80, 8);
        connects += 8;
        failures.push(...others);
      }
    })();
    await scene.agent.stop();
    const agent = await scene.startAgent({ wait: false, services: [withEndpoints(web, [local])] });
    await agent.started();
    await sleep(300);
    isOver = true;
    await loop;
    assert.deepEqual(failures, []);
    assert.ok(connects > 50, `${connects} connects`);
  });
});
