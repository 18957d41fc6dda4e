/** Layer dns. The text of a hosts file as tables: addresses of names, names of addresses, and names with a leading `*`. */
import { parentName, parseName } from "../../../codec/dns/name.ts";
import { type IpAddress, parseIp } from "../../../model/ip.ts";

export class HostsTable {
  readonly #addresses = new Map<string, IpAddress[]>();
  readonly #names = new Map<IpAddress, string[]>();

  /** Lines that make no sense are passed over, as resolvers do. */
  constructor(text: string, hasReverse: boolean) {
    for (const line of text.split("\n")) {
      const [addressText = "", ...names] = (line.split("#")[0] ?? "").trim().split(/\s+/);
      const address = parseIp(addressText.split("%")[0] ?? "");
      if (address === undefined) continue;
      for (const text of names) this.#add(text, address, hasReverse);
    }
  }

  /** Number of names. */
  get size(): number {
    return this.#addresses.size;
  }

  /** Addresses of a lower-case name, also through `*.parent` for exactly one label; `undefined` when it is not there. */
  addresses(lowerName: string): readonly IpAddress[] | undefined {
    return this.#addresses.get(lowerName) ?? this.#addresses.get(`*.${parentName(lowerName)}`);
  }

  names(address: IpAddress): readonly string[] {
    return this.#names.get(address) ?? [];
  }

  #add(text: string, address: IpAddress, hasReverse: boolean): void {
    const name = parseName(text)?.toLowerCase();
    if (name === undefined) return;
    const addresses = this.#addresses.get(name) ?? [];
    this.#addresses.set(name, addresses);
    if (!addresses.includes(address)) addresses.push(address);
    if (!hasReverse || name.startsWith("*.")) return;
    const names = this.#names.get(address) ?? [];
    this.#names.set(address, names);
    if (!names.includes(name)) names.push(name);
  }
}
