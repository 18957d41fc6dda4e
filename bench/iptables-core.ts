/** Benchmarks. The path of an agent in iptables mode from frame to kernel, with real commands whose inputs are kept. */
import { spawnSync } from "node:child_process";
import { IptablesReconciler } from "../src/agent/reconcile/iptables/iptables-reconciler.ts";
import type { IptablesDriver, IptablesVariant } from "../src/drivers/iptables/driver.ts";
import { LinuxIptables } from "../src/drivers/iptables/index.ts";
import { FeedCore } from "./feed-core.ts";

const MAX_OUTPUT_BYTES = 1 << 30;

/** Text as it comes, its lines noted in `input`. */
function* kept(text: Iterable<string>, input: string[]): Iterable<string> {
  for (const lines of text) {
    for (const line of lines.split("\n")) input.push(line);
    yield lines;
  }
}

/** A driver whose inputs are kept, to be restored again by hand. */
function recording(driver: IptablesDriver, inputs: (readonly string[])[]): IptablesDriver {
  const { family, variant, version, hasRandomFully } = driver;
  return {
    ...{ family, variant, version, hasRandomFully },
    save: () => driver.save(),
    hasChain: (table, chain) => driver.hasChain(table, chain),
    restore: async (text) => {
      const input: string[] = [];
      const result = await driver.restore(kept(text, input));
      if (input.length > 0) inputs.push(input);
      return result;
    },
  };
}

export class IptablesCore extends FeedCore<IptablesReconciler> {
  private constructor(
    stateDir: string,
    drivers: { readonly ip: IptablesDriver; readonly ip6: IptablesDriver },
  ) {
    const periods = { minSyncPeriodMs: 0, syncPeriodMs: 3_600_000 };
    super(stateDir, (options) => new IptablesReconciler({ ...options, ...periods, drivers }));
  }

  /** @param inputs gets the lines of IPv4 inputs, in their order: all that text is kept, which takes time of its own */
  static async open(
    stateDir: string,
    variant: IptablesVariant,
    inputs?: (readonly string[])[],
  ): Promise<IptablesCore> {
    const [ip, ip6] = await Promise.all([
      LinuxIptables.open("ip", variant),
      LinuxIptables.open("ip6", variant),
    ]);
    const core = new IptablesCore(stateDir, { ip: inputs === undefined ? ip : recording(ip, inputs), ip6 });
    await core.store.load();
    return core;
  }

  /** Takes messages until all of it is in the kernel. @throws when something was refused */
  async program(messages: Iterable<Buffer>): Promise<void> {
    await this.take(messages);
    await this.live();
  }
}

/** `iptables-restore --noflush` of lines, as a person would do it. @returns seconds */
export function restoreByHand(variant: IptablesVariant, lines: readonly string[]): number {
  const input = `${lines.join("\n")}\n`;
  const startMs = performance.now();
  const { status, stderr } = spawnSync(`iptables-${variant}-restore`, ["--noflush"], {
    input,
    encoding: "utf8",
    maxBuffer: MAX_OUTPUT_BYTES,
  });
  const seconds = (performance.now() - startMs) / 1_000;
  if (status !== 0) throw new Error(`iptables-${variant}-restore: ${stderr}`);
  return seconds;
}

/** Empties the tables of this namespace. */
export function flush(variant: IptablesVariant): void {
  for (const command of [`iptables-${variant}`, `ip6tables-${variant}`])
    for (const table of ["nat", "filter", "mangle"])
      for (const flag of ["-F", "-X"])
        if (spawnSync(command, ["-t", table, flag]).status !== 0)
          throw new Error(`${command} ${flag} failed`);
}
