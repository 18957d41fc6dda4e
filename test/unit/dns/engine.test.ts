/** What the native engine is taught: whatever changes, it never says anything but what the chain says at that moment. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { test } from "node:test";
import { decodeMessage } from "../../../src/codec/dns/decode.ts";
import { encodeMessage } from "../../../src/codec/dns/encode.ts";
import type { DnsMessage } from "../../../src/codec/dns/message.ts";
import { formatData } from "../../../src/codec/dns/text.ts";
import type { ClusterState } from "../../../src/dns/cluster/cluster-state.ts";
import { DnsEngine } from "../../../src/dns/engine/engine.ts";
import { DnsServer } from "../../../src/dns/server/dns-server.ts";
import { buildInstance } from "../../../src/dns/server/instance.ts";
import { Responder } from "../../../src/dns/server/responder.ts";
import { FakeUdpEngine } from "../../../src/drivers/udp-engine/fake.ts";
import type { FeedObject } from "../../../src/model/objects.ts";
import { queryMessage } from "../../support/dns-query.ts";
import {
  meta as metaOf,
  type ServiceFields,
  service as serviceOf,
  slice as sliceOf,
} from "../../support/objects.ts";
import { commit, randomFrom } from "./random-cluster.ts";
import { parse, testRuntime } from "./support.ts";

const COREFILE = `.:53 {
  errors
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    pods insecure
  }
  loadbalance
}
`;
const PORTS = [{ name: "http", protocol: "TCP", port: 80, nodePort: 0 }] as const;
const SLICE_PORTS = [{ name: "http", protocol: "TCP", port: 8080 }] as const;

const service = (namespace: string, name: string, change: ServiceFields): FeedObject =>
  serviceOf(`${namespace}/${name}`, { clusterIPs: [], ports: PORTS, ...change });

const slice = (namespace: string, name: string, addresses: readonly string[]): FeedObject =>
  sliceOf(`${namespace}/${name}`, addresses, { ports: SLICE_PORTS });

/** A chain with the fake engine before it, and the same chain alone. */
function setUp(corefile = COREFILE) {
  const runtime = testRuntime();
  const made: DnsEngine[] = [];
  const fake = new FakeUdpEngine(runtime.now, (packet) => made[0]?.onPacket(packet));
  const engine = new DnsEngine(fake, runtime);
  made.push(engine);
  const instance = buildInstance(parse(corefile), runtime, { defaultPort: 53, isStopping: () => false });
  const zones = instance.listeners[0]?.zones ?? assert.fail();
  const hooks = {
    log: runtime.log,
    onDropped: () => undefined,
    onCrash: () => undefined,
    monotonicMs: () => 0,
    nowSeconds: () => 1_700_000_000,
  };
  const taught = new Responder({ ...hooks, onAnswered: (answered) => engine.learn(answered) });
  const alone = new Responder(hooks);
  const target = { zones, server: "dns://:53", engineId: 0 };
  engine.listener((packet, client) => taught.respond(packet, client, target));
  engine.use(instance, [{ id: 0, server: "dns://:53", zones }]);
  const client = {
    transport: "udp",
    address: "192.0.2.1",
    port: 9,
    localAddress: "192.0.2.2",
    localPort: 53,
  } as const;
  return {
    runtime,
    cluster: runtime.cluster,
    fake,
    /** The engine's own answer, `undefined` when it left it to the chain. */
    ask: (name: string, type: string) => {
      const reply = fake.ask(0, encodeMessage(queryMessage(name, type)));
      return reply === undefined ? undefined : describe(reply);
    },
    chain: (name: string, type: string) => {
      const reply = alone.respond(encodeMessage(queryMessage(name, type)), client, {
        zones,
        server: "dns://:53",
      });
      assert.ok(reply instanceof Buffer);
      return describe(reply);
    },
  };
}

function describe(bytes: Uint8Array): string {
  const decoded = decodeMessage(bytes);
  if (decoded.kind !== "message") throw new Error(decoded.reason);
  const { message } = decoded;
  const list = (records: DnsMessage["answers"]) =>
    records.map(({ name, ttl, type, data }) => `${name} ${ttl} ${type} ${formatData(data)}`).sort();
  const { rcode, authoritative, truncated, questions, answers, authorities, additionals } = message;
  return JSON.stringify({
    ...{ rcode, authoritative, truncated, questions },
    answers: list(answers),
    authorities: list(authorities),
    additionals: list(additionals),
  });
}

const SERVICES = ["web", "db", "alias", "other"];
const NAMESPACES = ["red", "blue"];
const ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
const NAMES = [
  ...SERVICES.flatMap((name) => NAMESPACES.map((namespace) => `${name}.${namespace}.svc.cluster.local.`)),
  ...NAMESPACES.flatMap((namespace) => [
    `${namespace}.svc.cluster.local.`,
    `_http._tcp.web.${namespace}.svc.cluster.local.`,
    `_tcp.db.${namespace}.svc.cluster.local.`,
    `10-0-0-1.web.${namespace}.svc.cluster.local.`,
    `10-0-0-9.${namespace}.pod.cluster.local.`,
  ]),
  ...["1.0.0.10", "2.0.0.10", "3.0.0.10", "0.0.10", "7.96.10", "1.7.96.10", "2.7.96.10"].map(
    (digits) => `${digits}.in-addr.arpa.`,
  ),
  "cluster.local.",
  "nothing.cluster.local.",
  "dns-version.cluster.local.",
  "ns.dns.cluster.local.",
  "elsewhere.example.",
];
const TYPES = ["A", "AAAA", "SRV", "PTR", "CNAME", "TXT", "SOA", "NS", "ANY"];

function change(cluster: ClusterState, random: (below: number) => number): void {
  const pick = (list: readonly string[]): string => list[random(list.length)] ?? "";
  const [name, namespace] = [pick(SERVICES), pick(NAMESPACES)];
  switch (random(8)) {
    case 0:
    case 1:
      cluster.upsert(service(namespace, name, { clusterIPs: [`10.96.7.${1 + random(2)}`] }));
      break;
    case 2:
      cluster.upsert(service(namespace, name, { headless: true, clusterIPs: [] }));
      break;
    case 3: {
      const externalName = random(2) === 0 ? pick(NAMES) : "far.example";
      cluster.upsert(service(namespace, name, { type: "ExternalName", externalName }));
      break;
    }
    case 4:
    case 5:
      cluster.upsert(slice(namespace, name, ADDRESSES.slice(random(3), 1 + random(3))));
      break;
    case 6:
      cluster.remove(
        random(2) === 0
          ? { kind: "Service", namespace, name }
          : { kind: "EndpointSlice", namespace, name: `${name}-1` },
      );
      break;
    default: {
      const key = { kind: "Namespace", namespace: "", name: namespace } as const;
      if (random(2) === 0) cluster.remove(key);
      else
        cluster.upsert({
          kind: "Namespace",
          meta: { ...metaOf("", namespace) },
        } as FeedObject);
    }
  }
}

test("the engine says what the chain says, after each of many random changes", () => {
  const seed = Date.now() & 0xffffff;
  const random = randomFrom(seed);
  const { cluster, runtime, ask, chain } = setUp();
  commit(cluster, () => undefined, true);
  let answered = 0;
  for (let step = 0; step < 1_500; step++) {
    commit(cluster, () => {
      for (let i = random(3); i >= 0; i--) change(cluster, random);
    });
    if (step % 10 === 0) runtime.clock.ms += 1_000;
    for (let i = 0; i < 12; i++) {
      const lower = NAMES[random(NAMES.length)] ?? "";
      const name = random(4) === 0 ? lower.toUpperCase() : lower;
      const type = TYPES[random(TYPES.length)] ?? "";
      for (const time of ["first", "second"]) {
        const seen = ask(name, type);
        if (seen === undefined) continue;
        answered++;
        assert.equal(seen, chain(name, type), `seed ${seed}, step ${step}, ${name} ${type}, ${time} time`);
      }
    }
  }
  assert.ok(answered > 5_000, `only ${answered} answers came from the engine`);
});

test("answers are learned at the first question, and not in blocks with other plugins", () => {
  const web = service("red", "web", { clusterIPs: ["10.96.7.1"] });
  const name = "web.red.svc.cluster.local.";
  for (const [line, isLearned] of [
    ["loadbalance", true],
    ["prometheus 127.0.0.1:0", true],
    ["log", false],
    ["acl {\n allow\n }", false],
    ["loadbalance round_robin {\n prefer 10.0.0.0/8\n }", false],
  ] as const) {
    const { cluster, ask } = setUp(`.:53 {\n kubernetes cluster.local\n ${line}\n}\n`);
    commit(cluster, () => cluster.upsert(web), true);
    assert.equal(ask(name, "A"), undefined);
    assert.equal(ask(name, "A") !== undefined, isLearned, line);
  }
});

test("before the first data nothing is learned", () => {
  const { cluster, ask } = setUp();
  cluster.upsert(service("red", "web", { clusterIPs: ["10.96.7.1"] }));
  ask("web.red.svc.cluster.local.", "A");
  assert.equal(ask("web.red.svc.cluster.local.", "A"), undefined);
});

/** Long enough for a machine that is busy with other tests. */
const TTL = 6;

test("on real sockets: replies leave from the address asked, cached names run down and end, a stop frees the port", async () => {
  const upstream = createSocket("udp4");
  let asked = 0;
  upstream.on("message", (packet, { port, address }) => {
    const decoded = decodeMessage(packet);
    if (decoded.kind !== "message") return;
    asked++;
    const name = decoded.message.questions[0]?.name ?? "";
    const data = { kind: "address", address: "192.0.2.80" as never } as const;
    const answers = [{ name, type: 1, class: 1, ttl: TTL, data }];
    upstream.send(encodeMessage({ ...decoded.message, isResponse: true, answers }), port, address);
  });
  await new Promise<void>((resolve) => upstream.bind(0, "127.0.0.1", resolve));
  const runtime = { ...testRuntime(), now: Date.now };
  const engine = DnsEngine.open(runtime) ?? assert.fail("no addon");
  const server = new DnsServer(runtime, engine);
  const corefile = `.:0 {\n prometheus 127.0.0.1:0\n forward . 127.0.0.1:${upstream.address().port}\n cache {\n success 100 3600 1\n }\n}\n`;
  await server.apply(buildInstance(parse(corefile), runtime, { defaultPort: 0, isStopping: () => false }));
  const port = Number(/:(\d+)$/.exec(server.addresses()[0] ?? "")?.[1]);
  const client = createSocket("udp4");
  // Connected: the kernel drops what comes from another address than the one asked.
  await new Promise<void>((resolve) => client.connect(port, "127.0.0.77", resolve));
  const ask = (): Promise<DnsMessage> =>
    new Promise((resolve, reject) => {
      client.once("message", (reply) => {
        const decoded = decodeMessage(reply);
        if (decoded.kind === "message") resolve(decoded.message);
        else reject(new Error(decoded.reason));
      });
      client.send(encodeMessage(queryMessage("www.example.com.")));
    });
  const answers = async (): Promise<number> => {
    const text = await runtime.metrics.text();
    return Number(/^nodeplane_dns_engine_answers_total (\d+)$/m.exec(text)?.[1]);
  };
  try {
    const started = Date.now();
    const ttl = async (): Promise<number> => (await ask()).answers[0]?.ttl ?? -1;
    for (let i = 0; i < 5; i++) assert.ok((await ttl()) > TTL - 3);
    assert.equal(await answers(), 3);
    const metrics = await runtime.metrics.text();
    assert.match(metrics, /dns_responses_total\{.*plugin="cache"\} 4/);
    assert.match(metrics, /cache_hits_total\{.*type="success".*\} 4/);
    assert.match(metrics, /cache_requests_total\{.*\} 5/);
    while ((await ttl()) >= TTL) await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(asked, 1);
    while (Date.now() < started + TTL * 1_000) await new Promise((resolve) => setTimeout(resolve, 20));
    while (asked < 2) {
      await ttl();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.ok((await ttl()) > TTL - 3);
  } finally {
    client.close();
    upstream.close();
    await server.stop();
  }
  const again = createSocket("udp4");
  await new Promise<void>((resolve, reject) => {
    again.once("error", reject);
    again.bind(port, "127.0.0.1", resolve);
  });
  again.close();
});

test("while a service changes 200 times, each answer is of a moment between its question and its arrival", async () => {
  const runtime = testRuntime();
  const { cluster } = runtime;
  const engine = DnsEngine.open(runtime) ?? assert.fail("no addon");
  const server = new DnsServer(runtime, engine);
  const corefile = ".:0 {\n bind 127.0.0.1\n kubernetes cluster.local\n}\n";
  await server.apply(buildInstance(parse(corefile), runtime, { defaultPort: 0, isStopping: () => false }));
  const port = Number(/:(\d+)$/.exec(server.addresses()[0] ?? "")?.[1]);
  const client = createSocket("udp4");
  await new Promise<void>((resolve) => client.connect(port, "127.0.0.1", resolve));
  let version = 0;
  let checked = 0;
  const asked = new Map<number, number>();
  const wrong: string[] = [];
  client.on("message", (reply) => {
    const decoded = decodeMessage(reply);
    const data = decoded.kind === "message" ? decoded.message.answers[0]?.data : undefined;
    const seen = data?.kind === "address" ? Number(data.address.split(".")[3]) : -1;
    const from = asked.get(reply.readUInt16BE(0)) ?? Number.MAX_SAFE_INTEGER;
    if (seen < from || seen > version) wrong.push(`${seen} is not in ${from} to ${version}`);
    checked++;
  });
  const until = Date.now() + 60_000;
  try {
    for (version = 1; version <= 200; version++) {
      const change = service("red", "web", { clusterIPs: [`10.96.7.${version}`] });
      commit(cluster, () => cluster.upsert(change), version === 1);
      for (let round = 0; round < 3; round++) {
        for (let i = 0; i < 8; i++) {
          const id = asked.size & 0xffff;
          asked.set(id, version);
          client.send(encodeMessage({ ...queryMessage("web.red.svc.cluster.local."), id }));
        }
        // What waits must fit the client's buffer: the engine does not wait for this thread.
        do await new Promise((resolve) => setTimeout(resolve, 1));
        while (asked.size - checked > 64 && Date.now() < until);
      }
    }
    version = 200;
    while (checked < asked.size && Date.now() < until)
      await new Promise((resolve) => setTimeout(resolve, 10));
    assert.deepEqual(wrong, []);
    assert.equal(checked, 4_800);
  } finally {
    client.close();
    await server.stop();
  }
});
