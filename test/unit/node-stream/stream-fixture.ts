/** A real server and real clients on loopback sockets, with certificates of their own, for tests of the node stream. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemorySource } from "../../../src/control-plane/node-stream/memory-source.ts";
import { NodeStreamServer } from "../../../src/control-plane/node-stream/node-stream-server.ts";
import type { NodeReport } from "../../../src/control-plane/node-stream/report-assembly.ts";
import { StreamHub } from "../../../src/control-plane/node-stream/stream-hub.ts";
import { issueNodeCertificate, Pki, serverNames } from "../../../src/control-plane/pki/pki.ts";
import type { FeedBatch, FeedListener } from "../../../src/feed/feed.ts";
import { StreamFeed, type StreamFeedOptions } from "../../../src/feed/stream/stream-feed.ts";
import {
  type FeedObject,
  formatKey,
  keyOf,
  type ObjectKey,
  type ObjectProblem,
} from "../../../src/model/objects.ts";
import { meta, service as serviceOf } from "../../support/objects.ts";

export const service = (name: string, ip = "10.96.0.10", label = ""): FeedObject => ({
  ...serviceOf(`ns/${name}`, { clusterIPs: [ip] }),
  meta: { ...meta("ns", name), uid: name, creationTimestampMs: 1, labels: label === "" ? {} : { label } },
});
/** The first words of an agent that wants Services and has nothing yet. */
export const HELLO = {
  node: "n1",
  role: "agent",
  sets: ["Service"],
  epoch: "",
  revision: 0,
  credits: 9,
  version: "",
};
export const serviceKey = (name: string): ObjectKey => ({ kind: "Service", namespace: "ns", name });

/** Keeps the state that batches describe, and the batches as lines. */
export class Recorder implements FeedListener {
  readonly objects = new Map<string, FeedObject>();
  readonly batches: { readonly batch: FeedBatch; readonly lines: readonly string[] }[] = [];
  readonly connections: string[] = [];
  #lines: string[] = [];
  #isOpen = false;
  /** Called after each commit. */
  onCommit: (batch: FeedBatch) => void = () => {};

  begin(batch: FeedBatch): void {
    if (this.#isOpen) throw new Error("begin inside a group");
    this.#isOpen = true;
    this.#lines = [];
    if (batch.snapshot) this.objects.clear();
  }
  upsert(object: FeedObject): void {
    this.objects.set(formatKey(keyOf(object)), object);
    this.#lines.push(`+${object.meta.name}`);
  }
  remove(key: ObjectKey): void {
    this.objects.delete(formatKey(key));
    this.#lines.push(`-${key.name}`);
  }
  commit(batch: FeedBatch): void {
    this.#isOpen = false;
    this.batches.push({ batch, lines: this.#lines });
    this.onCommit(batch);
  }
  connection(connected: boolean, reason: string): void {
    this.connections.push(`${connected ? "up" : "down"}: ${reason}`);
  }
  get names(): readonly string[] {
    return [...this.objects.values()].map((object) => object.meta.name).sort();
  }
}

export interface Client {
  readonly feed: StreamFeed;
  readonly recorder: Recorder;
  readonly problems: string[];
  readonly stop: () => Promise<void>;
  readonly ended: Promise<void>;
}

export class StreamFixture {
  readonly folder = mkdtempSync(join(tmpdir(), "np-stream-"));
  readonly refused: { node: string; problems: readonly ObjectProblem[] }[] = [];
  readonly sourceProblems: { key: ObjectKey; problems: readonly ObjectProblem[] }[] = [];
  readonly reports: { node: string; report: NodeReport }[] = [];
  readonly heartbeats: string[] = [];
  readonly errors: string[] = [];
  source = new MemorySource();
  isReportWanted = false;
  hub: StreamHub = this.#newHub();
  port = 0;
  #pki: Pki | undefined;
  #server: NodeStreamServer | undefined;
  readonly #clients: Client[] = [];

  #newHub(): StreamHub {
    return new StreamHub({
      source: this.source,
      events: {
        refused: (node, _role, problems) => void this.refused.push({ node, problems }),
        problems: (key, problems) => void this.sourceProblems.push({ key, problems }),
      },
    });
  }

  async open(): Promise<void> {
    const dataDir = join(this.folder, "control-plane");
    const names = { dnsNames: serverNames("cluster.local"), ipAddresses: ["127.0.0.1"] };
    this.#pki = await Pki.open({ dataDir, ...names, serverUrl: "https://127.0.0.1:6443" });
    await this.startServer();
  }

  /** Starts a server, on the port of the last one, with the present source. */
  async startServer(): Promise<void> {
    const pki = this.#pki;
    if (pki === undefined) throw new Error("not open");
    this.hub = this.#newHub();
    await this.hub.start();
    this.#server = new NodeStreamServer({
      hub: this.hub,
      sink: {
        report: async (node, report) => {
          this.reports.push({ node, report });
          return await Promise.resolve(true);
        },
        heartbeat: async (node) => {
          this.heartbeats.push(node);
          return await Promise.resolve(this.isReportWanted);
        },
      },
      address: `127.0.0.1:${this.port}`,
      keys: { authorityPem: pki.authorityPem, ...pki.server },
      onError: (node, error) => void this.errors.push(`${node}: ${String(error)}`),
    });
    this.port = await this.#server.listen();
  }

  /** Gives the running server a new certificate. @returns its PEM */
  async renewServer(): Promise<string> {
    const dataDir = join(this.folder, "control-plane");
    const names = { dnsNames: ["localhost", "renewed"], ipAddresses: ["127.0.0.1"] };
    const pki = await Pki.open({ dataDir, ...names, serverUrl: "https://127.0.0.1:6443" });
    this.#server?.renew({ authorityPem: pki.authorityPem, ...pki.server });
    return pki.server.certificatePem;
  }

  async stopServer(): Promise<void> {
    await this.#server?.close();
    this.#server = undefined;
  }

  /** Files of a node's certificate, and the address. */
  async connectionOf(
    node: string,
  ): Promise<Pick<StreamFeedOptions, "address" | "caFile" | "certificateFile" | "keyFile">> {
    const issued = await issueNodeCertificate(join(this.folder, "control-plane"), node);
    const file = (name: string, text: string): string => {
      const path = join(this.folder, `${node}.${name}`);
      writeFileSync(path, text);
      return path;
    };
    return {
      address: `127.0.0.1:${this.port}`,
      caFile: file("ca.crt", issued.authorityPem),
      certificateFile: file("crt", issued.node.certificatePem),
      keyFile: file("key", issued.node.keyPem),
    };
  }

  /** A running feed of a node. */
  async client(node: string, more: Partial<StreamFeedOptions> = {}): Promise<Client> {
    const problems: string[] = [];
    const recorder = new Recorder();
    const feed = new StreamFeed({
      ...(await this.connectionOf(node)),
      nodeName: node,
      role: "agent",
      stateDir: undefined,
      onProblem: (message) => void problems.push(message),
      backoff: { minMs: 20, maxMs: 100, refusedMs: 200 },
      ...more,
    });
    const abort = new AbortController();
    const ended = feed.run(recorder, abort.signal);
    const stop = async (): Promise<void> => {
      abort.abort();
      await ended.catch(() => undefined);
    };
    const client = { feed, recorder, problems, stop, ended };
    this.#clients.push(client);
    return client;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) await client.stop();
    await this.stopServer();
    rmSync(this.folder, { recursive: true });
  }
}
