/** Test code. The reconciler of nftables mode on the real kernel, with drivers of its own for both families. */
import assert from "node:assert/strict";
import { Reconciler, type ReconcilerOptions } from "../../src/agent/reconcile/nftables/reconciler.ts";
import { LinuxNft } from "../../src/drivers/nftables/index.ts";
import type { FeedObject } from "../../src/model/objects.ts";
import { nodeConfig } from "../support/objects.ts";

export class NftAgent {
  readonly ip = new LinuxNft({ family: "ip", name: "nodeplane" });
  readonly ip6 = new LinuxNft({ family: "ip6", name: "nodeplane" }, this.ip);
  readonly reconciler: Reconciler;
  #revision = 0n;

  constructor(options: Partial<ReconcilerOptions> = {}) {
    const drivers = { ip: this.ip, ip6: this.ip6 };
    this.reconciler = new Reconciler({ mode: "nftables", drivers, node: nodeConfig(), ...options });
  }

  /** One batch, through to the kernel: all of it is in there when this resolves. */
  async feed(objects: Iterable<FeedObject>, snapshot = false): Promise<void> {
    const batch = { revision: ++this.#revision, snapshot, origin: "live", changedAtMs: 0 } as const;
    this.reconciler.begin(batch);
    for (const object of objects) this.reconciler.upsert(object);
    this.reconciler.commit(batch);
    await this.reconciler.idle();
    assert.equal(this.reconciler.status().revision, String(this.#revision));
    assert.deepEqual(this.reconciler.status().refused, []);
    assert.equal(this.reconciler.status().lastError, undefined);
  }

  /** Writes so far. */
  get commits(): number {
    return this.reconciler.status().families.reduce((sum, family) => sum + family.counters.commits, 0);
  }

  stop(): void {
    this.reconciler.stop();
    this.ip.close();
  }
}
