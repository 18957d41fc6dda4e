/**
 * Layer control-plane. Cluster addresses: from the configured service ranges, then from further ServiceCIDR objects.
 * State: `/allocation/clusterip/<address>` -> owner.
 */
import { type IpAddress, ipFamily, parseIp } from "../../model/ip.ts";
import type { WriteContext } from "../registry/kind.ts";
import { chooseOffset, type Random } from "./bands.ts";
import { Claims } from "./claims.ts";
import { readExtraRanges } from "./extra-ranges.ts";
import { addressAt, isUsable, offsetOf, parseServiceRange, type ServiceRange } from "./service-range.ts";

export const CLUSTER_IP_PREFIX = "/allocation/clusterip/";

export type AddressFamily = "IPv4" | "IPv6";

const inFamily = (range: ServiceRange, family: AddressFamily): boolean =>
  (ipFamily(range.cidr.address) === "ip") === (family === "IPv4");

/** Ranges of the settings, the default family's first. */
export function configuredRanges(cidrs: readonly string[]): readonly ServiceRange[] {
  return cidrs.map(parseServiceRange).filter((range) => range !== undefined);
}

/** Families that have a configured range, the default first. */
export function configuredFamilies(cidrs: readonly string[]): readonly AddressFamily[] {
  const families = configuredRanges(cidrs).map((range) =>
    ipFamily(range.cidr.address) === "ip" ? ("IPv4" as const) : ("IPv6" as const),
  );
  return [...new Set(families)];
}

export class ClusterIpAllocator {
  readonly #context: WriteContext;
  readonly #claims: Claims;
  readonly #random: Random;
  readonly #ranges: readonly ServiceRange[];

  constructor(context: WriteContext, owner: string, random: Random) {
    this.#context = context;
    this.#claims = new Claims(context, CLUSTER_IP_PREFIX, owner);
    this.#random = random;
    this.#ranges = configuredRanges(context.settings.serviceCidrs);
  }

  /** @returns why the address cannot be had, or `undefined` when it is now the owner's */
  async claim(text: string): Promise<string | undefined> {
    const address = parseIp(text);
    if (address === undefined) return `the provided IP (${text}) is not a valid address`;
    if (!(await this.#isInRange(address))) return this.#outOfRange(address);
    return (await this.#claims.claim(address)) ? undefined : "provided IP is already allocated";
  }

  /** A free address of the family, now the owner's; `undefined` when all ranges are full. */
  async next(family: AddressFamily): Promise<IpAddress | undefined> {
    const configured = this.#ranges.filter((range) => inFamily(range, family));
    return (
      (await this.#nextIn(configured)) ??
      (await this.#nextIn((await readExtraRanges(this.#context)).filter((range) => inFamily(range, family))))
    );
  }

  async release(text: string): Promise<void> {
    const address = parseIp(text);
    if (address !== undefined) await this.#claims.release(address);
  }

  async #nextIn(ranges: readonly ServiceRange[]): Promise<IpAddress | undefined> {
    for (const range of ranges) {
      const offset = await chooseOffset(
        {
          size: range.size,
          bandSize: range.bandSize,
          isTaken: (candidate) => this.#claims.isTaken(addressAt(range, candidate)),
          listTaken: async () => takenOffsets(range, await this.#claims.list()),
        },
        this.#random,
      );
      if (offset === undefined) continue;
      const address = addressAt(range, offset);
      await this.#claims.claim(address);
      return address;
    }
    return undefined;
  }

  async #isInRange(address: IpAddress): Promise<boolean> {
    if (this.#ranges.some((range) => isUsable(range, address))) return true;
    return (await readExtraRanges(this.#context)).some((range) => isUsable(range, address));
  }

  #outOfRange(address: IpAddress): string {
    const family = ipFamily(address) === "ip" ? "IPv4" : "IPv6";
    const texts = this.#ranges.filter((range) => inFamily(range, family)).map((range) => range.text);
    return `the provided IP (${address}) is not in the valid range. The range of valid IPs is ${texts.join(", ")}`;
  }
}

function takenOffsets(range: ServiceRange, taken: readonly string[]): ReadonlySet<number> {
  const offsets = new Set<number>();
  for (const text of taken) {
    const address = parseIp(text);
    const offset = address === undefined ? undefined : offsetOf(range, address);
    if (offset !== undefined) offsets.add(offset);
  }
  return offsets;
}
