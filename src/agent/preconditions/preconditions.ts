/**
 * Layer agent. What a plain machine needs before services work on it: sets what is ours to set, names the rest. Run at
 * start and again from time to time, since others change these things too.
 */
import { availableParallelism } from "node:os";
import type { ConntrackSettings } from "../config/agent-settings.ts";
import type { Host } from "../host/host.ts";
import type { Logger } from "../log.ts";
import type { PreconditionStatus } from "../status/agent-status.ts";
import { addChangedSysctls, type ChangedSysctl } from "./changed-sysctls.ts";
import { type RunCommand, readForwardPolicy } from "./forward-policy.ts";
import { planSysctls, type SysctlWish } from "./sysctl-plan.ts";

export interface PreconditionsOptions {
  readonly host: Host;
  readonly conntrack: ConntrackSettings;
  /** True when node ports answer on loopback and the rule that guards it is in the kernel. */
  readonly hasLocalhostNodePorts: () => boolean;
  /**
   * True when the kernel refused a write. Only then is it asked what it lacks: asking makes a scratch table, and an agent
   * that finds everything as it should be changes nothing, not even the generation id.
   */
  readonly hasFailedWrites: () => boolean;
  /** IPVS mode. */
  readonly ipvs?: { readonly strictARP: boolean };
  /** False: settings are only judged. */
  readonly mayWrite: boolean;
  /** Where changed settings are noted. */
  readonly changedPath: string;
  readonly run: RunCommand;
  readonly log: Logger;
}

export class Preconditions {
  readonly #options: PreconditionsOptions;
  #status: readonly PreconditionStatus[] = [];

  constructor(options: PreconditionsOptions) {
    this.#options = options;
  }

  get status(): readonly PreconditionStatus[] {
    return this.#status;
  }

  /** One sentence for each thing that is missing. */
  get missing(): readonly string[] {
    return this.#status
      .filter(({ state }) => state === "missing")
      .map(({ name, detail }) => `${name}: ${detail}`);
  }

  /** Judges anew and sets what may be set. Logs what was not known before. */
  async check(): Promise<void> {
    const before = new Map(this.#status.map((entry) => [entry.name, `${entry.state} ${entry.detail}`]));
    const settings = this.#settings();
    const stillSet = this.#status.filter(
      (entry) => entry.state === "set" && !settings.some(({ name }) => name === entry.name),
    );
    this.#status = [...this.#features(), ...stillSet, ...settings, await this.#forwardPolicy()];
    for (const entry of this.#status) {
      if (before.get(entry.name) === `${entry.state} ${entry.detail}` || entry.state === "ok") continue;
      const { name: precondition, state, detail } = entry;
      this.#options.log[state === "missing" ? "warn" : "info"]({ precondition, state }, detail);
    }
  }

  #features(): readonly PreconditionStatus[] {
    if (!this.#options.hasFailedWrites()) return [];
    return Object.entries(this.#options.host.nft).flatMap(([family, driver]) =>
      driver.probe().map(({ feature, result }) => {
        const name = `nftables-${family}-${feature.replaceAll(/[^A-Za-z0-9]+/g, "-").toLowerCase()}`;
        switch (result.kind) {
          case "supported":
            return { name, state: "ok", detail: "" } as const;
          case "unsupported":
            return {
              name,
              state: "missing",
              detail: `the kernel lacks it; it needs ${result.needs}`,
            } as const;
          case "unknown":
            return { name, state: "unknown", detail: result.message } as const;
          default:
            return result satisfies never;
        }
      }),
    );
  }

  #settings(): readonly PreconditionStatus[] {
    const { host, conntrack, hasLocalhostNodePorts, ipvs } = this.#options;
    const wishes = planSysctls({
      read: (path) => host.sysctl.read(path),
      interfaces: host.interfaces(),
      hasIpv6: host.nft.ip6 !== undefined,
      cpus: availableParallelism(),
      conntrack,
      localhostNodePorts: hasLocalhostNodePorts(),
      ...(ipvs === undefined ? {} : { ipvs: { ...ipvs, kernelRelease: host.kernelRelease ?? "" } }),
    });
    const changed: ChangedSysctl[] = [];
    const status = wishes.map((wish) => this.#grant(wish, changed));
    try {
      addChangedSysctls(this.#options.changedPath, changed);
    } catch (error) {
      this.#options.log.warn({ error: (error as Error).message }, "cannot note which settings were changed");
    }
    return status;
  }

  #grant(wish: SysctlWish, changed: ChangedSysctl[]): PreconditionStatus {
    const { host, mayWrite } = this.#options;
    const { name, path, value, why } = wish;
    const setting = `${path.replaceAll("/", ".")} = ${value} (${why})`;
    const failed = wish.isNeeded ? "missing" : "unknown";
    if (!mayWrite)
      return { name, state: failed, detail: `not set, because setPreconditions is false: ${setting}` };
    const before = host.sysctl.read(path) ?? "";
    try {
      host.sysctl.write(path, value);
    } catch (error) {
      return { name, state: failed, detail: `cannot set ${setting}: ${(error as Error).message}` };
    }
    changed.push({ path, before, ours: value });
    return { name, state: "set", detail: `set ${setting}; it was ${before}` };
  }

  async #forwardPolicy(): Promise<PreconditionStatus> {
    const name = "forward-policy";
    const policy = await readForwardPolicy(this.#options.run);
    switch (policy.kind) {
      case "open":
        return { name, state: "ok", detail: "" };
      case "unknown":
        return { name, state: "unknown", detail: policy.why };
      case "drops": {
        const where = policy.chains.join(", ");
        const advice = "accept the pods' traffic there, or set its policy to accept";
        return { name, state: "missing", detail: `${where} drops forwarded packets by policy: ${advice}` };
      }
      default:
        return policy satisfies never;
    }
  }
}
