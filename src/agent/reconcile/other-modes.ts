/**
 * Layer agent. After a change of mode: removes what the other modes left, once the own rules are live. Connections go on,
 * since the kernel's connection tracking keeps their translation.
 */
import type { IptablesDriver } from "../../drivers/iptables/index.ts";
import { NodeplaneError } from "../../model/errors.ts";
import { planCleanup } from "../../plan/iptables/cleanup.ts";
import { parseSaved } from "../../plan/iptables/saved-state.ts";
import type { Clock } from "../clock.ts";
import type { AgentSettings } from "../config/agent-settings.ts";
import type { Host } from "../host/host.ts";
import type { Logger } from "../log.ts";
import { cleanup } from "./cleanup.ts";
import { cleanupIpvs } from "./ipvs/ipvs-cleanup.ts";

export interface IptablesCleanup {
  /** False: there was nothing to remove. */
  readonly had: boolean;
  /** Chains that rules of others lead to, as `table CHAIN`: empty now, but there. */
  readonly held: readonly string[];
}

/** Removes our chains, and nothing else. @throws {NodeplaneError} IPTABLES_FAILED */
export async function cleanupIptables(driver: IptablesDriver): Promise<IptablesCleanup> {
  const { input, held } = planCleanup(parseSaved(await driver.save()));
  if (input === undefined) return { had: false, held };
  const result = await driver.restore(input.text);
  if (result.kind === "restored") return { had: true, held };
  const operation = `${driver.family} ${driver.variant} cleanup`;
  throw new NodeplaneError("IPTABLES_FAILED", { operation, detail: result.message });
}

/** Time between two looks at connections through virtual servers that nobody wants any more. */
const DRAIN_MS = 5_000;
const RETRY_MS = 30_000;

interface OtherModesOptions {
  readonly settings: Pick<AgentSettings, "mode" | "ipvs">;
  readonly host: Host;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Removes what the other modes left, what IPVS mode left once its connections have ended. What fails is logged and tried again:
 * rules that nobody keeps any more lead to endpoints that are gone.
 */
export async function removeOtherModes(options: OtherModesOptions): Promise<void> {
  const { settings, host, clock } = options;
  const { mode, ipvs } = settings;
  if (mode !== "nftables") await persist(options, "nftables", () => removeTables(options));
  await persist(options, "iptables", () => removeChains(options));
  const untilMs = clock.monotonicMs() + ipvs.drainLimitMs;
  if (mode !== "ipvs" && host.openIpvs !== undefined)
    await persist(options, "ipvs", () => removeIpvs(options, untilMs));
}

/** Takes a step now, and again while it fails. */
async function persist(
  options: OtherModesOptions,
  left: AgentSettings["mode"],
  step: () => Promise<void>,
): Promise<void> {
  const { clock, log } = options;
  try {
    await step();
  } catch (error) {
    log.warn(
      { mode: left, error: (error as Error).message, retryMs: RETRY_MS },
      "cannot remove what another mode left",
    );
    clock.after(RETRY_MS, () => void persist(options, left, step));
  }
}

async function removeTables({ host, log }: OtherModesOptions): Promise<void> {
  for (const driver of Object.values(host.nft))
    if (cleanup(driver)) log.info({ family: driver.table.family }, "removed the table of nftables mode");
}

async function removeChains({ settings, host, log }: OtherModesOptions): Promise<void> {
  let failure: unknown;
  for (const driver of (await host.usedIptables?.()) ?? []) {
    const own = settings.mode === "iptables" ? host.iptables?.[driver.family] : undefined;
    if (own?.variant === driver.variant) continue;
    const { family, variant } = driver;
    try {
      const { had, held } = await cleanupIptables(driver);
      if (had) log.info({ family, variant }, "removed the chains of iptables mode");
      if (had && held.length > 0)
        log.warn(
          { family, variant, chains: held },
          "rules of others lead to these chains: emptied, not removed",
        );
    } catch (error) {
      failure = error;
    }
  }
  if (failure !== undefined) throw failure;
  if (settings.mode !== "iptables") host.removeCounters?.();
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
      clock.after(DRAIN_MS, () => void persist(options, "ipvs", () => removeIpvs(options, untilMs)));
    } else if (had) log.info("removed what ipvs mode had installed");
  } finally {
    ipvs.close();
  }
}
