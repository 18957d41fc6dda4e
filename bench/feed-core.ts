/** Benchmarks. What all modes' agents have between the frame and the reconciler: receiver, its state on disk, what went live. */
import type { KernelReconciler } from "../src/agent/reconcile/kernel-reconciler.ts";
import type { ModeReconcilerOptions } from "../src/agent/reconcile/mode-reconciler.ts";
import { DiskStateStore } from "../src/feed/stream/disk-state-store.ts";
import { Receiver } from "../src/feed/stream/receiver.ts";
import type { IpAddress } from "../src/model/ip.ts";
import { parseCidr, parseIp } from "../src/model/ip.ts";
import type { NodeConfig } from "../src/plan/node-config.ts";

const ip = (text: string): IpAddress => parseIp(text) ?? ("" as IpAddress);
const podRange = parseCidr("10.244.0.0/16");

/** Node of the benchmarks; `192.168.0.2` is where it can be reached. */
const BENCH_NODE: NodeConfig = {
  nodeName: "node-1",
  nodeAddresses: [ip("192.168.0.2"), ip("127.0.0.1"), ip("::1")],
  primaryAddresses: [ip("192.168.0.2")],
  localTraffic: { kind: "cidrs", cidrs: podRange === undefined ? [] : [podRange] },
  masqueradeAll: false,
  masqueradeBit: 14,
  nodePortAddresses: "primary",
};

export class FeedCore<R extends KernelReconciler> {
  readonly reconciler: R;
  readonly receiver: Receiver;
  readonly store: DiskStateStore;
  /** Newest revision in the kernel. */
  programmed = 0n;

  /** @param open makes the mode's reconciler */
  constructor(stateDir: string, open: (options: ModeReconcilerOptions) => R) {
    this.reconciler = open({
      node: BENCH_NODE,
      onProgrammed: ({ revision }) => {
        this.programmed = revision;
      },
      log: (level, message, fields) => {
        if (level === "error" || level === "warn")
          process.stderr.write(`${message} ${JSON.stringify(fields)}\n`);
      },
    });
    this.store = new DiskStateStore(stateDir, (error) => process.stderr.write(`${error.message}\n`));
    this.receiver = new Receiver({
      store: this.store,
      sets: ["Service", "EndpointSlice"],
      listener: this.reconciler,
      withTargets: false,
      onWelcome: () => {},
      onReportTaken: () => {},
      onReportWanted: () => {},
      onHeld: () => {},
      onSnapshotRefused: (reason) => process.stderr.write(`snapshot refused: ${reason}\n`),
    });
  }

  async take(messages: Iterable<Buffer>): Promise<void> {
    for (const message of messages) await this.receiver.take(message);
  }

  /** Resolves when everything received is in the kernel. @throws when something was refused */
  async live(): Promise<void> {
    await this.reconciler.idle();
    const { refused, lastError, revision, receivedRevision } = this.reconciler.status();
    if (refused.length > 0 || lastError !== undefined || revision !== receivedRevision)
      throw new Error(`not all is programmed: ${JSON.stringify([refused.slice(0, 3), lastError, revision])}`);
  }

  async stop(): Promise<void> {
    this.reconciler.stop();
    await this.store.close();
  }
}
