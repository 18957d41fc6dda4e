/** Benchmarks. A node stream that feeds a resolver: the objects of a cluster of any size, and changes to them. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { MemorySource } from "../src/control-plane/node-stream/memory-source.ts";
import { NodeStreamServer } from "../src/control-plane/node-stream/node-stream-server.ts";
import { StreamHub } from "../src/control-plane/node-stream/stream-hub.ts";
import { issueNodeCertificate, Pki } from "../src/control-plane/pki/pki.ts";
import type { FeedObject } from "../src/model/objects.ts";
import { benchService, benchSlice } from "./frames.ts";

const NODE_NAME = "bench";
const SETTLE_MS = 3_000;

export class DnsSource {
  readonly source = new MemorySource();
  readonly #hub = new StreamHub({ source: this.source });
  readonly #folder = mkdtempSync(join(tmpdir(), "nodeplane-bench-"));
  #server: NodeStreamServer | undefined;
  #flags: readonly string[] = [];

  /** Services as the other benchmarks have them, `endpoints` of each in one slice (0: no slices). */
  static async start(services: number, endpoints: number): Promise<DnsSource> {
    const made = new DnsSource();
    made.source.apply(
      Array.from({ length: services }, (_, i) => benchService(i, "cluster-ip")).flatMap((service, i) =>
        endpoints === 0 ? [service as FeedObject] : [service, benchSlice(i, endpoints)],
      ),
    );
    await made.#listen();
    return made;
  }

  /** Flags that make `nodeplane dns` follow this source. */
  get flags(): readonly string[] {
    return this.#flags;
  }

  /** True when the resolver has taken the newest revision. */
  get isTaken(): boolean {
    return this.hasTaken(this.source.revision);
  }

  hasTaken(revision: number): boolean {
    return this.#hub.programmedStreams(revision) > 0;
  }

  /** Resolves when the resolver has everything, and some time to digest it. */
  async taken(): Promise<void> {
    while (!this.isTaken) await sleep(20);
    await sleep(SETTLE_MS);
  }

  async close(): Promise<void> {
    await this.#server?.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #listen(): Promise<void> {
    const pki = await Pki.open({
      dataDir: this.#folder,
      dnsNames: [],
      ipAddresses: ["127.0.0.1"],
      serverUrl: "https://127.0.0.1",
    });
    await this.#hub.start();
    this.#server = new NodeStreamServer({
      hub: this.#hub,
      sink: {
        report: async () => await Promise.resolve(true),
        heartbeat: async () => await Promise.resolve(false),
      },
      address: "127.0.0.1:0",
      keys: { authorityPem: pki.authorityPem, ...pki.server },
    });
    const port = await this.#server.listen();
    const { node } = await issueNodeCertificate(this.#folder, NODE_NAME);
    writeFileSync(join(this.#folder, "node.crt"), node.certificatePem);
    writeFileSync(join(this.#folder, "node.key"), node.keyPem, { mode: 0o600 });
    this.#flags = [
      ...["--control-plane", `127.0.0.1:${port}`],
      ...["--ca-file", join(this.#folder, "pki", "ca.crt")],
      ...["--certificate-file", join(this.#folder, "node.crt")],
      ...["--key-file", join(this.#folder, "node.key")],
      ...["--state-dir", join(this.#folder, "state")],
    ];
  }
}
