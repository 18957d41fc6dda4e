/** Random walks: the kernel's listing with a tracer for each family, whatever the mode. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Memory, Trace } from "./branches.ts";
import type { Family } from "./cluster.ts";
import { readSavedTables } from "./iptables-listing.ts";
import { IptablesTracer } from "./iptables-tracer.ts";
import { readNftListing } from "./nft-listing.ts";
import { NftTracer } from "./nft-tracer.ts";
import type { Mode, Packet } from "./oracle.ts";

const run = promisify(execFile);
const MAX_LISTING_BYTES = 256 << 20;

/** The listing of a namespace: one text of nft, or one a family of iptables-save. */
export async function readListing(netns: string, mode: Mode, variant?: string): Promise<readonly string[]> {
  const exec = async (...command: string[]): Promise<string> => {
    // Enters the network alone: `ip netns exec` would mount things first, every time.
    const args = [`--net=/run/netns/${netns}`, ...command];
    return (await run("nsenter", args, { maxBuffer: MAX_LISTING_BYTES })).stdout;
  };
  if (mode === "nftables") return [await exec("nft", "-j", "list", "ruleset")];
  const name = (family: string) => (variant === undefined ? `${family}-save` : `${family}-${variant}-save`);
  return Promise.all([exec(name("iptables")), exec(name("ip6tables"))]);
}

interface Tracer {
  trace(packet: Packet, memory?: Memory): Trace;
}

export class KernelRules {
  readonly #tracers = new Map<Family, Tracer>();

  /** @param listing as {@link readListing} returns it @throws {UnknownRule} */
  constructor(mode: Mode, listing: readonly string[], nodeAddresses: readonly string[]) {
    const own = new Set(nodeAddresses);
    const isLocal = (address: string) => own.has(address) || address.startsWith("127.") || address === "::1";
    if (mode === "iptables") {
      for (const [i, family] of (["ip", "ip6"] as const).entries())
        this.#tracers.set(family, new IptablesTracer(readSavedTables(listing[i] ?? ""), isLocal));
      return;
    }
    for (const [family, table] of readNftListing(listing[0] ?? "", "nodeplane"))
      this.#tracers.set(family, new NftTracer(table, isLocal));
  }

  trace(packet: Packet, memory?: Memory): Trace {
    const tracer = this.#tracers.get(packet.family);
    if (tracer === undefined) throw new Error(`nothing is programmed for family ${packet.family}`);
    return tracer.trace(packet, memory);
  }
}
