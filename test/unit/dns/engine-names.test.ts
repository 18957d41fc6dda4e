/**
 * What the native engine says of names by itself equals what the chain says, for random clusters, options and spellings:
 * the engine on loopback, the chain in this process. Printed seed; no time is measured.
 */
import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { test } from "node:test";
import { formatType } from "../../../src/codec/dns/constants.ts";
import { decodeMessage } from "../../../src/codec/dns/decode.ts";
import { encodeMessage } from "../../../src/codec/dns/encode.ts";
import type { DnsMessage } from "../../../src/codec/dns/message.ts";
import { formatData } from "../../../src/codec/dns/text.ts";
import type { ClusterState } from "../../../src/dns/cluster/cluster-state.ts";
import { DnsEngine } from "../../../src/dns/engine/engine.ts";
import { buildInstance } from "../../../src/dns/server/instance.ts";
import { Responder } from "../../../src/dns/server/responder.ts";
import { openUdpEngine, type UdpEngine } from "../../../src/drivers/udp-engine/index.ts";
import { queryMessage } from "../../support/dns-query.ts";
import { freePort } from "../../support/free-port.ts";
import { ADDRESSES, changeCluster, commit, NAMESPACES, randomFrom, SERVICES } from "./random-cluster.ts";
import { parse, testRuntime } from "./support.ts";

const OPTIONS: readonly string[] = [
  "",
  "pods insecure\n ttl 30\n fallthrough in-addr.arpa ip6.arpa",
  "noendpoints",
  "endpoint_pod_names\n pods disabled",
  "ignore empty_service",
  "zonal\n fallthrough",
  "namespaces red",
  "namespace_labels tier=front",
  "labels kept=yes",
];
const STEPS = 10;
const TYPES = ["A", "AAAA", "SRV", "PTR", "CNAME", "TXT", "SOA", "HTTPS", "MX", "NS", "HINFO"];
const LABELS = [
  "",
  "_http._tcp.",
  "_dns._udp.",
  "_tcp.",
  "_sctp.",
  "_http._udp.",
  "http.tcp.",
  "zero.",
  "one.",
  "pod-1.",
];
const ZONAL = [
  "_zone.",
  "pin._zone.",
  "a.pin._zone.",
  "b.prefer._zone.",
  "c.pin._zone.",
  "c.d.prefer._zone.",
  "a.odd._zone.",
];

function namesOf(): readonly string[] {
  const dashed = ADDRESSES.map((address) => `${address.replaceAll(/[.:]/g, "-")}.`);
  const services = [...SERVICES, "missing"].flatMap((name) =>
    NAMESPACES.map((space) => `${name}.${space}.svc`),
  );
  const below = [...LABELS, ...ZONAL, ...dashed, "a.b.c."];
  return [
    ...services.flatMap((service) => below.map((label) => `${label}${service}.cluster.local.`)),
    ...["red", "blue", "none"]
      .flatMap((space) => [`${space}.svc`, `10-1-2-3.${space}.pod`, `${space}.pod`, `x.y.${space}.pod`])
      .map((name) => `${name}.cluster.local.`),
    ...[
      "10-1-2.red.pod",
      "010-1-2-3.red.pod",
      "fd00--5.red.pod",
      "10-1-2-3-4.red.pod",
      "10-1-2-256.red.pod",
      "z.red.pod",
    ].map((name) => `${name}.cluster.local.`),
    ...["", "svc.", "pod.", "dns.", "dns-version.", "x.dns-version.", "nothing.", "a.nothing.", "x.dns."].map(
      (name) => `${name}cluster.local.`,
    ),
    ...[
      "1.0.0.10",
      "2.0.0.10",
      "3.0.0.10",
      "9.0.0.10",
      "1.7.96.10",
      "2.7.96.10",
      "x.7.96.10",
      "1.1.7.96.10",
      "01.7.96.10",
      "300.0.0.10",
    ].map((name) => `${name}.in-addr.arpa.`),
    `5.${"0.".repeat(27)}0.0.d.f.ip6.arpa.`,
    `6.${"0.".repeat(27)}0.0.d.f.ip6.arpa.`,
    `xx.${"0.".repeat(27)}0.0.d.f.ip6.arpa.`,
    "in-addr.arpa.",
  ];
}

/** Of records in order of the sections; order inside answer and additional section is random or of no meaning. */
function describe(message: DnsMessage): string {
  const list = (records: DnsMessage["answers"]) =>
    records.map(({ name, ttl, type, data }) => `${name} ${ttl} ${formatType(type)} ${formatData(data)}`);
  const { rcode, authoritative, truncated, recursionAvailable, recursionDesired, checkingDisabled, edns } =
    message;
  const aliases = message.answers.findLastIndex((record) => record.type === 5);
  return JSON.stringify({
    ...{
      rcode,
      authoritative,
      truncated,
      recursionAvailable,
      recursionDesired,
      checkingDisabled,
      edns,
      aliases,
    },
    questions: message.questions,
    answers: list(message.answers).sort(),
    authorities: list(message.authorities),
    additionals: list(message.additionals).sort(),
  });
}

function decoded(bytes: Uint8Array): DnsMessage {
  const result = decodeMessage(bytes);
  if (result.kind === "malformed") throw new Error(result.reason);
  return result.message;
}

class Pair {
  readonly cluster: ClusterState;
  readonly #socket: Socket;
  readonly #close: () => void;
  readonly #chain: (packet: Buffer) => DnsMessage;
  readonly #handedUp = new Set<number>();
  readonly #replies = new Map<number, DnsMessage>();
  #wake: () => void = () => undefined;

  static async open(options: string): Promise<Pair> {
    const socket = createSocket("udp4");
    await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
    const port = await freePort();
    await new Promise<void>((resolve) => socket.connect(port, "127.0.0.1", resolve));
    return new Pair(socket, port, options);
  }

  private constructor(socket: Socket, port: number, options: string) {
    this.#socket = socket;
    const runtime = testRuntime();
    this.cluster = runtime.cluster;
    const native: UdpEngine =
      openUdpEngine(1 << 20, ({ bytes }) => {
        this.#handedUp.add(Buffer.from(bytes).readUInt16BE(0));
        this.#wake();
      }) ?? assert.fail("no addon");
    const corefile = `.:53 {\n kubernetes cluster.local in-addr.arpa ip6.arpa {\n ${options}\n }\n loadbalance\n}\n`;
    const instance = buildInstance(parse(corefile), runtime, { defaultPort: 53, isStopping: () => false });
    const zones = instance.listeners[0]?.zones ?? assert.fail();
    const engine = new DnsEngine(native, runtime);
    const listener = engine.listener(() => undefined) ?? assert.fail();
    listener.open("127.0.0.1", port);
    const server = "dns://:53";
    engine.use(instance, [{ id: listener.id, server, zones }]);
    const responder = new Responder({
      ...{ log: runtime.log, onDropped: () => undefined, onCrash: () => undefined, monotonicMs: () => 0 },
      nowSeconds: () => 1_700_000_000,
    });
    const client = { address: "192.0.2.1", port: 9, localAddress: "192.0.2.2", localPort: 53 } as const;
    this.#chain = (packet) => {
      const reply = responder.respond(packet, { ...client, transport: "udp" }, { zones, server });
      assert.ok(reply instanceof Buffer);
      return decoded(reply);
    };
    socket.on("message", (bytes) => {
      this.#replies.set(bytes.readUInt16BE(0), decoded(bytes));
      this.#wake();
    });
    this.#close = () => {
      socket.close();
      engine.close();
    };
  }

  /** Both answers to each packet; `engine` is absent where the engine left it to the chain. */
  async ask(
    packets: readonly Buffer[],
  ): Promise<readonly { engine: DnsMessage | undefined; chain: DnsMessage }[]> {
    this.#handedUp.clear();
    this.#replies.clear();
    for (const [id, packet] of packets.entries()) packet.writeUInt16BE(id, 0);
    const WINDOW = 32;
    for (let at = 0; at < packets.length; at += WINDOW) {
      const end = Math.min(packets.length, at + WINDOW);
      for (let id = at; id < end; id++) this.#socket.send(packets[id] ?? assert.fail());
      while (this.#handedUp.size + this.#replies.size < end) {
        await new Promise<void>((resolve, reject) => {
          const timer = setTimeout(() => reject(new Error("no reply for 10 s")), 10_000);
          this.#wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    }
    return packets.map((packet, id) => ({ engine: this.#replies.get(id), chain: this.#chain(packet) }));
  }

  close(): void {
    this.#close();
  }
}

/** Each letter in upper case by chance. */
function spelled(name: string, random: (below: number) => number): string {
  return random(2) === 0
    ? name
    : name.replaceAll(/[a-z]/g, (letter) => (random(2) === 0 ? letter : letter.toUpperCase()));
}

/** Where the chain must be asked: what depends on more than the services and namespaces. */
function isForChain(name: string, type: string, chain: DnsMessage, options: string): boolean {
  const lower = name.toLowerCase();
  // Spellings of IPv6 that only the chain reads.
  const isOdd = /^[0-9a-f-]+\.[a-z]+\.pod\./.test(lower) && !/^\d+-\d+-\d+-\d+\./.test(lower);
  const isApex = type === "NS" && ["cluster.local.", "in-addr.arpa."].includes(lower);
  const isAlias =
    chain.answers.some((record) => record.type === 5) || (chain.rcode === 2 && type !== "CNAME");
  const isFallthrough = options.includes("fallthrough") && chain.rcode !== 0;
  // Endpoints of one name in slices with different ports.
  const isSplit =
    type === "SRV" &&
    chain.answers.some(({ data }) => /^(?:zero|one|pod-\d)\./.test(formatData(data).split(" ")[3] ?? ""));
  return isSplit || isApex || isOdd || (isAlias && type !== "CNAME") || isFallthrough || chain.truncated;
}

for (const options of OPTIONS) {
  test(`names of random clusters, options: ${options.replaceAll("\n", ";") || "none"}`, async (context) => {
    const seed = Date.now() & 0xffff_ffff;
    context.diagnostic(`seed ${seed}`);
    const random = randomFrom(seed);
    const pair = await Pair.open(options);
    try {
      commit(pair.cluster, () => undefined, true);
      // The first fill takes a turn of the event loop or two.
      const probe = encodeMessage(queryMessage("cluster.local.", "SOA"));
      while ((await pair.ask([probe]))[0]?.engine === undefined) await new Promise(setImmediate);
      const names = namesOf();
      let own = 0;
      for (let step = 0; step < STEPS; step++) {
        commit(pair.cluster, () => {
          for (let i = 0; i < 4; i++) changeCluster(pair.cluster, random);
        });
        const asked = names.flatMap((name) =>
          TYPES.filter(() => random(3) === 0).map((type) => ({ name: spelled(name, random), type })),
        );
        const packets = asked.map(({ name, type }, i) => {
          const edns = { udpBytes: 4096, version: 0, dnssecOk: i % 5 === 0, options: [] };
          return encodeMessage({ ...queryMessage(name, type), recursionDesired: i % 2 === 0, edns });
        });
        for (const [i, { engine, chain }] of (await pair.ask(packets)).entries()) {
          const { name, type } = asked[i] ?? assert.fail();
          if (engine === undefined) {
            assert.ok(
              isForChain(name, type, chain, options),
              `seed ${seed}: ${name} ${type} was left to the chain`,
            );
            continue;
          }
          own++;
          assert.equal(describe(engine), describe(chain), `seed ${seed}, step ${step}: ${name} ${type}`);
        }
      }
      context.diagnostic(`${own} answers of the engine compared`);
      assert.ok(own > 300, `only ${own} answers were the engine's`);
    } finally {
      pair.close();
    }
  });
}
