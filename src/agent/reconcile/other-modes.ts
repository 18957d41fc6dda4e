/**
 * Layer agent. After a change of mode: removes what the other modes left, once the own rules are live. Connections go on,
 * since the kernel's connection tracking keeps their translation.
 */
import type { IptablesDriver } from "../../drivers/iptables/index.ts";
import { NodeplaneError } from "../../model/errors.ts";
import { cleanupInput } from "../../plan/iptables/cleanup.ts";
import { parseSaved } from "../../plan/iptables/saved-state.ts";
import type { Clock } from "../clock.ts";
import type { AgentSettings } from "../config/agent-settings.ts";
import type { Host } from "../host/host.ts";
import type { Logger } from "../log.ts";
import { cleanup } from "./cleanup.ts";
import { cleanupIpvs } from "./ipvs/ipvs-cleanup.ts";

/** Removes our chains, and nothing else. @returns whether there were any @throws {NodeplaneError} IPTABLES_FAILED */
export async function cleanupIptables(driver: IptablesDriver): Promise<boolean> {
  const input = cleanupInput(parseSaved(await driver.save()));
  if (input === undefined) return false;
  const result = await driver.restore(input.text);
  if (result.kind === "restored") return true;
  const operation = `${driver.family} ${driver.variant} cleanup`;
  throw new NodeplaneError("IPTABLES_FAILED", { operation, detail: result.message });
}

/** Time between two looks at connections through virtual servers that nobody wants any more. */
const DRAIN_MS = 5_000;

interface OtherModesOptions {
  readonly settings: Pick<AgentSettings, "mode" | "ipvs">;
  readonly host: Host;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Removes what the other modes left, what IPVS mode left once its connections have ended. Failures are logged: what is left
 * over is in nobody's way.
 */
export async function removeOtherModes(options: OtherModesOptions): Promise<void> {
  const { settings, host, log } = options;
  try {
    if (settings.mode !== "nftables") {
      for (const driver of Object.values(host.nft))
        if (cleanup(driver)) log.info({ family: driver.table.family }, "removed the table of nftables mode");
    }
    for (const driver of (await host.usedIptables?.()) ?? []) {
      const own = settings.mode === "iptables" ? host.iptables?.[driver.family] : undefined;
      if (own?.variant === driver.variant) continue;
      const { family, variant } = driver;
      if (await cleanupIptables(driver)) log.info({ family, variant }, "removed the chains of iptables mode");
    }
    if (settings.mode !== "iptables") host.removeCounters?.();
    if (settings.mode !== "ipvs")
      await removeIpvs(options, options.clock.monotonicMs() + settings.ipvs.drainLimitMs);
  } catch (error) {
    log.warn({ error: (error as Error).message }, "cannot remove what another mode left");
  }
}

/** Their connections live in IPVS itself: virtual servers go when they have ended, or their time is over. */
async function removeIpvs(options: OtherModesOptions, untilMs: number): Promise<void> {
  const { host, clock, log } = options;
  const ipvs = host.openIpvs?.();
  if (ipvs === undefined) return;
  try {
    const { had, busy } = await cleanupIpvs(ipvs, clock.monotonicMs() < untilMs);
    if (busy > 0) {
      log.info({ virtualServers: busy }, "virtual servers of ipvs mode stay until their connections end");
      clock.after(DRAIN_MS, () => void removeIpvs(options, untilMs));
    } else if (had) log.info("removed what ipvs mode had installed");
  } catch (error) {
    log.warn({ error: (error as Error).message }, "cannot remove what ipvs mode left");
  } finally {
    ipvs.close();
  }
}
