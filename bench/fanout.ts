/**
 * One change to many nodes: from the change at its source until the last node has acknowledged it as programmed. Server
 * in this process, nodes in a second one on the same machine, each with its own TLS connection and certificate. The
 * nodes acknowledge as soon as they have the bytes: programming is measured elsewhere.
 */
import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeNodeMessage, type NodeMessage } from "../src/codec/stream/node-message.ts";
import { visitServerMessage } from "../src/codec/stream/server-message.ts";
import { MemorySource } from "../src/control-plane/node-stream/memory-source.ts";
import { NodeStreamServer } from "../src/control-plane/node-stream/node-stream-server.ts";
import { StreamHub } from "../src/control-plane/node-stream/stream-hub.ts";
import { issueNodeCertificate, Pki } from "../src/control-plane/pki/pki.ts";
import { Connection } from "../src/feed/stream/connection.ts";
import type { IpAddress } from "../src/model/ip.ts";
import type { EndpointSlice } from "../src/model/objects.ts";
import { type Bench, percentile } from "./figure.ts";

const NODES = 1000;
const CHANGES = 100;
const NODES_FLAG = "--fanout-nodes";

export const bench: Bench = async ({ services, endpoints, say }) => {
  const folder = mkdtempSync(join(tmpdir(), "np-fanout-"));
  const source = new MemorySource();
  source.apply(Array.from({ length: services }, (_, index) => slice(index, endpoints, 0)));
  const hub = new StreamHub({ source });
  let child: ChildProcess | undefined;
  let server: NodeStreamServer | undefined;
  try {
    const pki = await Pki.open({
      dataDir: folder,
      dnsNames: [],
      ipAddresses: ["127.0.0.1"],
      serverUrl: "https://127.0.0.1",
    });
    await hub.start();
    server = new NodeStreamServer({
      hub,
      sink: {
        report: async () => await Promise.resolve(true),
        heartbeat: async () => await Promise.resolve(false),
      },
      address: "127.0.0.1:0",
      keys: { authorityPem: pki.authorityPem, ...pki.server },
    });
    const port = await server.listen();
    const before = process.memoryUsage().rss;
    child = fork(import.meta.filename, [NODES_FLAG, folder, String(port), String(NODES)], {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    await programmed(hub, NODES, source.revision, 600_000);
    const perStream = (process.memoryUsage().rss - before) / NODES / 1_000_000;
    say(`${NODES} nodes connected and synchronised`);
    const times: number[] = [];
    for (let change = 1; change <= CHANGES; change++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const start = performance.now();
      source.apply([slice(change % services, endpoints, change)], Date.now());
      await programmed(hub, NODES, source.revision, 60_000);
      times.push(performance.now() - start);
    }
    return [
      { figure: "fanout_nodes", value: NODES, unit: "count" },
      { figure: "fanout_p50", value: percentile(times, 0.5), unit: "ms" },
      { figure: "fanout_p99", value: percentile(times, 0.99), unit: "ms" },
      { figure: "fanout_stream_memory", value: perStream, unit: "MB" },
    ];
  } finally {
    child?.kill("SIGKILL");
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  }
};

function slice(index: number, endpoints: number, variant: number): EndpointSlice {
  return {
    kind: "EndpointSlice",
    meta: {
      namespace: "bench",
      name: `s${index}`,
      uid: "",
      creationTimestampMs: 1,
      labels: {},
      annotations: {},
    },
    serviceName: `s${index}`,
    addressType: "IPv4",
    ports: [{ name: "", protocol: "TCP", port: 80 }],
    endpoints: Array.from({ length: endpoints }, (_, host) => ({
      addresses: [`10.${(index >> 8) & 255}.${index & 255}.${host + 1}` as IpAddress],
      ready: true,
      // What a change changes.
      ...(host === 0 ? { weight: variant % 257 } : {}),
      serving: true,
      terminating: false,
    })),
  };
}

/** Waits until every node has programmed a revision. Looks often enough for the figure to be good to a fraction of a ms. */
async function programmed(hub: StreamHub, nodes: number, revision: number, timeoutMs: number): Promise<void> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const done = hub.programmedStreams(revision);
    if (done >= nodes) return;
    if (performance.now() > end)
      throw new Error(`${done} of ${nodes} nodes at revision ${revision} after ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** The second process: many nodes that acknowledge what they get. */
async function runNodes(folder: string, port: string, count: number): Promise<void> {
  const ca = readFileSync(join(folder, "pki", "ca.crt"));
  for (let index = 0; index < count; index++) {
    const { node } = await issueNodeCertificate(folder, `n${index}`);
    const keys = { ca, certificate: Buffer.from(node.certificatePem), key: Buffer.from(node.keyPem) };
    const connection = new Connection(`127.0.0.1:${port}`, keys, (message) => {
      let programmed: NodeMessage = {};
      visitServerMessage(message, {
        upsert: () => {},
        commit: ({ revision }) => {
          programmed = { received: revision, programmed: { revision, refused: [] } };
        },
      });
      connection.send(encodeNodeMessage({ credits: 1, ...programmed }));
    });
    const hello = {
      node: `n${index}`,
      role: "agent",
      sets: ["Service", "EndpointSlice"],
      epoch: "",
      revision: 0,
      credits: 8,
      version: "bench",
    };
    connection.send(encodeNodeMessage({ hello }));
  }
}

if (process.argv[2] === NODES_FLAG)
  await runNodes(process.argv[3] ?? "", process.argv[4] ?? "", Number(process.argv[5]));
