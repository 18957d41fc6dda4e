/**
 * Layer agent. One family's addresses on the dummy device: adds and removes what is asked for, finds what others changed.
 */
import type { AddressChange } from "../../../codec/netlink/route/device.ts";
import type { DummyDriver } from "../../../drivers/rtnetlink/index.ts";
import { type IpAddress, type IpFamily, ipFamily } from "../../../model/ip.ts";
import { type PackedIp, packIp, unpackIp } from "../../../plan/packed.ts";

/** An address that the kernel refused to add. */
export interface RefusedAddress {
  readonly address: PackedIp;
  readonly failure: { readonly errno: number; readonly code: string };
}

export class IpvsAddresses {
  readonly #family: IpFamily;
  readonly #driver: DummyDriver;
  /** Refused: to be tried again with the next write. */
  readonly #refused = new Set<PackedIp>();
  counters = { changes: 0, failed: 0 };

  constructor(family: IpFamily, driver: DummyDriver) {
    this.#family = family;
    this.#driver = driver;
  }

  /** Makes the device if it is missing. @returns what it has of this family */
  open(): readonly PackedIp[] {
    const found = this.#driver.read();
    if (found === undefined) this.#driver.create();
    return (found ?? []).filter((address) => this.#isOwn(address)).map(packIp);
  }

  /** What differs from what is wanted; makes the device if it is missing. */
  compare(
    wanted: readonly PackedIp[],
    wants: (address: PackedIp) => boolean,
  ): { readonly missing: readonly PackedIp[]; readonly extra: readonly PackedIp[] } {
    const has = new Set(this.open());
    return {
      missing: wanted.filter((address) => !has.has(address) && !this.#refused.has(address)),
      extra: [...has].filter((address) => !wants(address)),
    };
  }

  /** @param wants whether an address is wanted now @returns what the kernel refused; it is tried again with the next write */
  async write(
    added: readonly PackedIp[],
    removed: readonly PackedIp[],
    wants: (address: PackedIp) => boolean,
  ): Promise<readonly RefusedAddress[]> {
    const again = [...this.#refused].filter(wants);
    this.#refused.clear();
    const change = (op: AddressChange["op"]) => (address: PackedIp) => ({ op, address: unpackIp(address) });
    const changes = [
      ...[...new Set([...again, ...added])].map(change("add")),
      ...removed.map(change("remove")),
    ];
    if (changes.length === 0) return [];
    this.counters.changes += changes.length;
    const failures = await this.#driver.commit(changes);
    this.counters.failed += failures.length;
    return failures.flatMap(({ index, errno, code }) => {
      const failed = changes[index];
      if (failed?.op !== "add") return [];
      const address = packIp(failed.address);
      this.#refused.add(address);
      return [{ address, failure: { errno, code } }];
    });
  }

  /** Without link-local addresses, which the kernel gives to a device that somebody has set up. */
  #isOwn(address: IpAddress): boolean {
    return ipFamily(address) === this.#family && !address.startsWith("fe80:");
  }
}
