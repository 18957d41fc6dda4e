/** Benchmarks. The path of an agent in ipvs mode from frame to kernel, and ipvsadm beside it. */
import { spawnSync } from "node:child_process";
import { IpvsReconciler } from "../src/agent/reconcile/ipvs/ipvs-reconciler.ts";
import { LinuxIpvs } from "../src/drivers/ipvs/index.ts";
import { LinuxNft } from "../src/drivers/nftables/index.ts";
import { LinuxDummy } from "../src/drivers/rtnetlink/index.ts";
import { DiskStateStore } from "../src/feed/stream/disk-state-store.ts";
import { Receiver } from "../src/feed/stream/receiver.ts";
import type { IpvsOp } from "../src/model/ipvs.ts";
import { DUMMY_DEVICE, ipvsTableOf } from "../src/plan/ipvs/names.ts";
import { DEFAULT_SCHEDULER } from "../src/plan/ipvs/state.ts";
import { formatServer } from "../src/plan/ipvs/text.ts";
import { BENCH_NODE } from "./agent-core.ts";

export class IpvsCore {
  readonly ip = new LinuxNft(ipvsTableOf("ip"));
  readonly ip6 = new LinuxNft(ipvsTableOf("ip6"), this.ip);
  readonly driver = new LinuxIpvs();
  readonly dummy = new LinuxDummy(DUMMY_DEVICE);
  readonly reconciler: IpvsReconciler;
  readonly receiver: Receiver;
  readonly store: DiskStateStore;
  /** Newest revision in the kernel. */
  programmed = 0n;

  constructor(stateDir: string) {
    // Loads the module, if this kernel has it.
    const support = this.driver.probe(DEFAULT_SCHEDULER);
    if (support.kind === "unsupported") throw new Error(`ipvs mode needs ${support.needs}`);
    this.reconciler = new IpvsReconciler({
      nft: { ip: this.ip, ip6: this.ip6 },
      ipvs: this.driver,
      dummy: this.dummy,
      node: BENCH_NODE,
      scheduler: DEFAULT_SCHEDULER,
      excludeCIDRs: [],
      timeouts: { tcpSeconds: 0, tcpFinSeconds: 0, udpSeconds: 0 },
      drainLimitMs: 60_000,
      // Nobody changes anything here.
      syncPeriodMs: 3_600_000,
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

  /** Every virtual server there is, as `ipvsadm -R` reads it. */
  async lines(): Promise<readonly string[]> {
    return (await this.driver.read()).flatMap((server) => formatServer(server));
  }

  /** Removes all virtual servers, the tables and the device. */
  async clear(): Promise<void> {
    const ops = this.driver.readServices().map((service): IpvsOp => ({ op: "delete-service", service }));
    await this.driver.commit(ops);
    for (const table of [this.ip, this.ip6])
      if (table.read() !== undefined) table.commit([{ op: "delete-table" }]);
    this.dummy.remove();
  }

  async stop(): Promise<void> {
    this.reconciler.stop();
    await this.store.close();
    this.driver.close();
    this.dummy.close();
    this.ip.close();
  }
}

/** Runs `ipvsadm -R`. @returns its time in seconds @throws when it is missing or refuses something */
export function ipvsadm(lines: readonly string[]): number {
  const startMs = performance.now();
  const result = spawnSync("ipvsadm", ["-R"], { input: `${lines.join("\n")}\n`, encoding: "utf8" });
  if (result.error !== undefined) throw result.error;
  if (result.status !== 0 || result.stderr !== "") throw new Error(`ipvsadm -R: ${result.stderr}`);
  return (performance.now() - startMs) / 1_000;
}
