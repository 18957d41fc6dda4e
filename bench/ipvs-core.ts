/** Benchmarks. The path of an agent in ipvs mode from frame to kernel, and ipvsadm beside it. */
import { spawnSync } from "node:child_process";
import { IpvsReconciler } from "../src/agent/reconcile/ipvs/ipvs-reconciler.ts";
import { LinuxIpvs } from "../src/drivers/ipvs/index.ts";
import { LinuxNft } from "../src/drivers/nftables/index.ts";
import { LinuxDummy } from "../src/drivers/rtnetlink/index.ts";
import type { IpvsOp } from "../src/model/ipvs.ts";
import { DUMMY_DEVICE, ipvsTableOf } from "../src/plan/ipvs/names.ts";
import { DEFAULT_SCHEDULER } from "../src/plan/ipvs/state.ts";
import { formatServer } from "../src/plan/ipvs/text.ts";
import { FeedCore } from "./feed-core.ts";

/** Nobody looks after foreign changes here. */
const SETTINGS = {
  scheduler: DEFAULT_SCHEDULER,
  excludeCIDRs: [],
  timeouts: { tcpSeconds: 0, tcpFinSeconds: 0, udpSeconds: 0 },
  drainLimitMs: 60_000,
  syncPeriodMs: 3_600_000,
};

function openDrivers() {
  const ip = new LinuxNft(ipvsTableOf("ip"));
  const ip6 = new LinuxNft(ipvsTableOf("ip6"), ip);
  const drivers = { nft: { ip, ip6 }, ipvs: new LinuxIpvs(), dummy: new LinuxDummy(DUMMY_DEVICE) };
  // Loads the module, if this kernel has it.
  const support = drivers.ipvs.probe(DEFAULT_SCHEDULER);
  if (support.kind === "unsupported") throw new Error(`ipvs mode needs ${support.needs}`);
  return drivers;
}

export class IpvsCore extends FeedCore<IpvsReconciler> {
  readonly #drivers: ReturnType<typeof openDrivers>;

  constructor(stateDir: string) {
    const drivers = openDrivers();
    super(stateDir, (options) => new IpvsReconciler({ ...options, ...drivers, ...SETTINGS }));
    this.#drivers = drivers;
  }

  /** Every virtual server there is, as `ipvsadm -R` reads it. */
  async lines(): Promise<readonly string[]> {
    return (await this.#drivers.ipvs.read()).flatMap((server) => formatServer(server));
  }

  /** Removes all virtual servers, the tables and the device. */
  async clear(): Promise<void> {
    const { nft, ipvs, dummy } = this.#drivers;
    const ops = ipvs.readServices().map((service): IpvsOp => ({ op: "delete-service", service }));
    await ipvs.commit(ops);
    for (const table of [nft.ip, nft.ip6])
      if (table.read() !== undefined) table.commit([{ op: "delete-table" }]);
    dummy.remove();
  }

  override async stop(): Promise<void> {
    await super.stop();
    const { nft, ipvs, dummy } = this.#drivers;
    ipvs.close();
    dummy.close();
    nft.ip.close();
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
