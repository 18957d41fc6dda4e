/** A resolver without sockets: Corefile text to replies, with time and randomness in the test's hands. */
import { decodeMessage } from "../../../src/codec/dns/decode.ts";
import { encodeMessage } from "../../../src/codec/dns/encode.ts";
import type { DnsMessage } from "../../../src/codec/dns/message.ts";
import { ClusterState } from "../../../src/dns/cluster/cluster-state.ts";
import { parseCorefile } from "../../../src/dns/corefile/parser.ts";
import { MetricSet } from "../../../src/dns/metrics/metric-set.ts";
import type { Client } from "../../../src/dns/query.ts";
import type { Runtime } from "../../../src/dns/runtime.ts";
import { buildInstance, type Instance } from "../../../src/dns/server/instance.ts";
import { Responder } from "../../../src/dns/server/responder.ts";
import { queryMessage } from "../../support/dns-query.ts";

export interface TestResolver {
  readonly instance: Instance;
  readonly runtime: Runtime;
  readonly lines: string[];
  /** Milliseconds since the epoch, moved by the test. */
  readonly clock: { ms: number };
  /** Sends octets; `undefined` when there is no reply. */
  send(packet: Uint8Array, client?: Partial<Client>): Promise<DnsMessage | undefined>;
  ask(name: string, type?: string, change?: Partial<DnsMessage>): Promise<DnsMessage>;
}

const CLIENT: Client = {
  transport: "udp",
  address: "192.0.2.9",
  port: 5000,
  localAddress: "192.0.2.1",
  localPort: 53,
};

export function parse(text: string, file = "Corefile"): ReturnType<typeof parseCorefile> {
  return parseCorefile(text, file, { env: {}, readImport: () => [] });
}

export function testRuntime(): Runtime & { readonly lines: string[]; readonly clock: { ms: number } } {
  const lines: string[] = [];
  const clock = { ms: 1_700_000_000_000 };
  const write = (message: string): void => void lines.push(message);
  const now = (): number => clock.ms;
  return {
    cluster: new ClusterState(now),
    metrics: new MetricSet(),
    log: { info: write, warn: write, error: write, debug: write, line: write },
    now,
    random: Math.random,
    localAddresses: () => [],
    version: "test",
    lines,
    clock,
  };
}

export function testResolver(corefile: string, runtime = testRuntime()): TestResolver {
  const instance = buildInstance(parse(corefile), runtime, { defaultPort: 53, isStopping: () => false });
  const responder = new Responder({
    log: runtime.log,
    onDropped: () => undefined,
    onCrash: () => undefined,
    monotonicMs: () => runtime.clock.ms,
    nowSeconds: () => runtime.clock.ms / 1000,
  });
  const zones = instance.listeners[0]?.zones;
  if (zones === undefined) throw new Error("no listener");
  const send: TestResolver["send"] = async (packet, client = {}) => {
    const reply = await responder.respond(packet, { ...CLIENT, ...client }, { zones, server: "dns://:53" });
    if (reply === undefined) return undefined;
    const bytes = "messages" in reply ? reply.messages[0] : reply;
    const decoded = decodeMessage(bytes ?? new Uint8Array());
    if (decoded.kind === "malformed") throw new Error(decoded.reason);
    return decoded.message;
  };
  return {
    instance,
    runtime,
    lines: runtime.lines,
    clock: runtime.clock,
    send,
    ask: async (name, type = "A", change = {}) => {
      const reply = await send(encodeMessage({ ...queryMessage(name, type), ...change }));
      if (reply === undefined) throw new Error("no reply");
      return reply;
    },
  };
}
