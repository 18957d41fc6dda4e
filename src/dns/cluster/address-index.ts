/**
 * Layer dns. Which services stand behind an address, and which addresses begin with given digits. Most addresses belong
 * to one service, so that one is kept without a list around it.
 */
import { addressHex } from "../../codec/dns/address.ts";
import type { IpAddress } from "../../model/ip.ts";
import type { ServiceEntry } from "./service-entry.ts";

export class AddressIndex {
  /** An entry stands here as often as the address is named by its objects. */
  readonly #owners = new Map<IpAddress, ServiceEntry | ServiceEntry[]>();
  /** Addresses as digits, sorted; made when first asked for, kept up from then on. */
  #sorted: string[] | undefined;

  readonly #onTouch: (address: IpAddress) => void;

  /** @param onTouch told of each address whose owners change, or whose owner names it anew */
  constructor(onTouch: (address: IpAddress) => void = () => undefined) {
    this.#onTouch = onTouch;
  }

  get size(): number {
    return this.#owners.size;
  }

  add(address: IpAddress, owner: ServiceEntry): void {
    this.#onTouch(address);
    const known = this.#owners.get(address);
    if (known === undefined) {
      this.#owners.set(address, owner);
      this.#insert(address);
    } else if (Array.isArray(known)) known.push(owner);
    else this.#owners.set(address, [known, owner]);
  }

  remove(address: IpAddress, owner: ServiceEntry): void {
    this.#onTouch(address);
    const known = this.#owners.get(address);
    if (known === owner) {
      this.#owners.delete(address);
      this.#delete(address);
      return;
    }
    if (!Array.isArray(known)) return;
    const at = known.indexOf(owner);
    if (at >= 0) known.splice(at, 1);
    const only = known[0];
    if (known.length === 1 && only !== undefined) this.#owners.set(address, only);
  }

  /** Services of the address, each once. */
  owners(address: IpAddress): readonly ServiceEntry[] {
    const known = this.#owners.get(address);
    if (known === undefined) return [];
    return Array.isArray(known) ? [...new Set(known)] : [known];
  }

  /** True when an address of the family that begins with these digits has an owner that `accept` takes. */
  hasPrefix(hex: string, family: "ip" | "ip6", accept: (owner: ServiceEntry) => boolean): boolean {
    this.#sorted ??= [...this.#owners.keys()].map(sortKey).sort();
    const prefix = `${family === "ip" ? "4" : "6"}${hex}`;
    for (let i = lowerBound(this.#sorted, prefix); this.#sorted[i]?.startsWith(prefix) === true; i++) {
      const key = this.#sorted[i] ?? "";
      const address = key.slice(key.indexOf(" ") + 1) as IpAddress;
      if (this.owners(address).some(accept)) return true;
    }
    return false;
  }

  #insert(address: IpAddress): void {
    if (this.#sorted === undefined) return;
    const key = sortKey(address);
    this.#sorted.splice(lowerBound(this.#sorted, key), 0, key);
  }

  #delete(address: IpAddress): void {
    if (this.#sorted === undefined) return;
    const at = lowerBound(this.#sorted, sortKey(address));
    if (this.#sorted[at] === sortKey(address)) this.#sorted.splice(at, 1);
  }
}

/** Family, digits, and the address itself to find its owner by. */
function sortKey(address: IpAddress): string {
  return `${address.includes(":") ? "6" : "4"}${addressHex(address)} ${address}`;
}

function lowerBound(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? "") < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
