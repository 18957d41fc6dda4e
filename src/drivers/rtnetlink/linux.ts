/**
 * Layer drivers. `LinuxRtnetlink`: the package `netlink` reads; notifications, which the addon hears, only say when to read again,
 * and a burst of them (a lab makes many interfaces) is answered by one reading.
 */
import { createRtNetlink, type RtNetlinkSocket, rt } from "netlink";
import { NETLINK_ROUTE } from "../../codec/netlink/route/device.ts";
import { matters, ROUTE_GROUPS } from "../../codec/netlink/route/notification.ts";
import { NodeplaneError } from "../../model/errors.ts";
import { type IpAddress, type IpFamily, ipFamily, ipFromBytes } from "../../model/ip.ts";
import { addon, type NetlinkWatch } from "../addon.ts";
import type { InterfaceAddress, Network, RtnetlinkDriver } from "./driver.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SETTLE_MS = 50;
const READ_ATTEMPTS = 3;
const EMPTY: Network = { links: [], addresses: [], defaultInterface: {} };
const SCOPE: Readonly<Record<number, InterfaceAddress["scope"]>> = { 0: "global", 253: "link", 254: "host" };

export class LinuxRtnetlink implements RtnetlinkDriver {
  network: Network = EMPTY;
  readonly #socket: RtNetlinkSocket;
  readonly #watchers = new Set<(network: Network) => void>();
  /**
   * By the addon, which tells of lost notifications: the package aborts the process when a burst fills its queue, such as a
   * thousand addresses at once.
   */
  readonly #watches: NetlinkWatch[] = [];
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<Network> | undefined;
  #closed = false;
  readonly #ignored: readonly string[];
  /** Indexes of ignored interfaces, as last read. */
  #ignoredIndexes: ReadonlySet<number> = new Set();

  /**
   * @param ignored names of interfaces whose addresses do not count
   * @throws {NodeplaneError} NETLINK_FAILED
   */
  constructor(ignored: readonly string[] = []) {
    this.#ignored = ignored;
    try {
      this.#socket = createRtNetlink();
    } catch (error) {
      throw failed("open route socket", error);
    }
  }

  async refresh(): Promise<Network> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    this.network = await this.#reading;
    return this.network;
  }

  watch(onChange: (network: Network) => void, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#watchers.add(onChange);
    signal.addEventListener("abort", () => this.#watchers.delete(onChange), { once: true });
    if (this.#watches.length > 0) return;
    for (const group of Object.values(ROUTE_GROUPS)) {
      const hear = (datagram: Uint8Array, overrun: boolean) => {
        if (overrun || matters(datagram, this.#ignoredIndexes)) this.#changed();
      };
      this.#watches.push(addon().netlinkWatch(NETLINK_ROUTE, group, 0, hear));
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#watchers.clear();
    for (const watch of this.#watches) addon().netlinkUnwatch(watch);
    this.#watches.length = 0;
    this.#socket.socket.close();
  }

  #changed(): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#reread();
    }, SETTLE_MS);
    this.#timer.unref();
  }

  async #reread(): Promise<void> {
    const before = JSON.stringify(this.network);
    try {
      await this.refresh();
    } catch {
      // The next notification reads again; what is known stays.
      return;
    }
    if (this.#closed || JSON.stringify(this.network) === before) return;
    for (const watcher of this.#watchers) watcher(this.network);
  }

  async #read(): Promise<Network> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#readOnce();
      } catch (error) {
        // A dump can be disturbed by a change.
        if (attempt === READ_ATTEMPTS || this.#closed) throw failed("read addresses", error);
      }
    }
  }

  async #readOnce(): Promise<Network> {
    const names = new Map<number, string>();
    for (const { data, attrs } of await this.#socket.getLinks()) {
      if (data.index !== undefined && attrs.ifname !== undefined) names.set(data.index, attrs.ifname);
    }
    const ignored = [...names].filter(([, name]) => this.#ignored.includes(name)).map(([index]) => index);
    this.#ignoredIndexes = new Set(ignored);
    for (const index of ignored) names.delete(index);
    const addresses = (await this.#socket.getAddresses()).flatMap(({ data, attrs }) => {
      const bytes = attrs.local ?? attrs.address;
      const address = bytes === undefined ? undefined : ipFromBytes(bytes);
      const name = names.get(data.index ?? -1);
      if (address === undefined || name === undefined) return [];
      const scope = SCOPE[data.scope ?? 0] ?? "other";
      return [{ interface: name, address, prefixBits: data.prefixlen ?? 0, scope }];
    });
    const routes = [
      ...(await this.#socket.getRoutes({ family: AF_INET })),
      ...(await this.#socket.getRoutes({ family: AF_INET6 })),
    ];
    return { links: [...names.values()], addresses, defaultInterface: defaultInterfaces(routes, names) };
  }
}

function defaultInterfaces(
  routes: readonly rt.RouteMessage[],
  names: ReadonlyMap<number, string>,
): Partial<Record<IpFamily, string>> {
  const best: Partial<Record<IpFamily, { name: string; priority: number }>> = {};
  for (const { data, attrs } of routes) {
    const isDefault = (data.dstLen ?? 0) === 0 && (attrs.table ?? data.table) === 254;
    const unicast = data.type === rt.RouteType.UNICAST || data.type === "UNICAST";
    const name = names.get(attrs.oif ?? -1);
    if (!isDefault || !unicast || name === undefined) continue;
    const family: IpFamily = data.family === AF_INET6 ? "ip6" : "ip";
    const priority = attrs.priority ?? 0;
    if (priority < (best[family]?.priority ?? Number.POSITIVE_INFINITY)) best[family] = { name, priority };
  }
  return {
    ...(best.ip === undefined ? {} : { ip: best.ip.name }),
    ...(best.ip6 === undefined ? {} : { ip6: best.ip6.name }),
  };
}

function failed(operation: string, error: unknown): NodeplaneError {
  return new NodeplaneError("NETLINK_FAILED", { operation, detail: String(error) }, error);
}

/**
 * The best address of each family: on the interface of its default route, else the first global one.
 * Link-local and loopback addresses are never chosen.
 */
export function primaryAddresses(network: Network): readonly IpAddress[] {
  return (["ip", "ip6"] as const).flatMap((family) => {
    const candidates = network.addresses.filter(
      (entry) => entry.scope === "global" && ipFamily(entry.address) === family && entry.interface !== "lo",
    );
    const preferred = candidates.find((entry) => entry.interface === network.defaultInterface[family]);
    return (preferred ?? candidates[0])?.address ?? [];
  });
}
