/** Benchmarks. The path of an agent in nftables mode from frame to kernel, with real drivers. */
import { Reconciler } from "../src/agent/reconcile/nftables/reconciler.ts";
import { LinuxNft } from "../src/drivers/nftables/index.ts";
import type { NftOp } from "../src/model/nftables.ts";
import { FeedCore } from "./feed-core.ts";

/** Notes when the table was first asked for, and how long commits took. */
class TimedNft extends LinuxNft {
  firstReadMs: number | undefined;
  lastCommitMs = 0;
  override read() {
    this.firstReadMs ??= performance.now();
    return super.read();
  }
  override commit(ops: readonly NftOp[]) {
    const startMs = performance.now();
    const result = super.commit(ops);
    this.lastCommitMs = performance.now() - startMs;
    return result;
  }
}

export class AgentCore extends FeedCore<Reconciler> {
  readonly ip: TimedNft;
  readonly ip6: LinuxNft;

  constructor(stateDir: string) {
    const ip = new TimedNft({ family: "ip", name: "nodeplane" });
    const ip6 = new LinuxNft({ family: "ip6", name: "nodeplane" }, ip);
    super(stateDir, (options) => new Reconciler({ ...options, mode: "nftables", drivers: { ip, ip6 } }));
    this.ip = ip;
    this.ip6 = ip6;
  }

  /** Commits to the kernel so far, both families. */
  get commits(): number {
    return this.reconciler.status().families.reduce((sum, family) => sum + family.counters.commits, 0);
  }

  override async stop(): Promise<void> {
    await super.stop();
    this.ip.close();
  }
}
