/** Layer dns. The upstreams of one `forward` line: those given by address, and those given by host name once that is resolved. */
import { Resolver } from "node:dns/promises";
import { parseIp } from "../../../model/ip.ts";
import type { DnsLog } from "../../runtime.ts";
import type { Upstream } from "./upstream.ts";
import type { UpstreamAddress, UpstreamHost } from "./upstream-address.ts";

const RETRY_MS = 5_000;

export class UpstreamList {
  #upstreams: readonly Upstream[];
  readonly #hosts: readonly UpstreamHost[];
  readonly #make: (address: UpstreamAddress) => Upstream;
  readonly #log: DnsLog;

  constructor(
    targets: { readonly addresses: readonly UpstreamAddress[]; readonly hosts: readonly UpstreamHost[] },
    make: (address: UpstreamAddress) => Upstream,
    log: DnsLog,
  ) {
    this.#upstreams = targets.addresses.map(make);
    this.#hosts = targets.hosts;
    this.#make = make;
    this.#log = log;
  }

  /** False while host names may add to them. */
  get isComplete(): boolean {
    return this.#hosts.length === 0;
  }

  get all(): readonly Upstream[] {
    return this.#upstreams;
  }

  /** Looks the host names up once, again after a while where that failed. @param servers empty: those of the machine */
  start(servers: readonly string[], signal: AbortSignal): void {
    for (const host of this.#hosts) void this.#resolve(host, servers, signal);
  }

  close(): void {
    for (const upstream of this.#upstreams) upstream.close();
  }

  async #resolve(host: UpstreamHost, servers: readonly string[], signal: AbortSignal): Promise<void> {
    const resolver = new Resolver({ timeout: 2_000, tries: 2 });
    if (servers.length > 0) resolver.setServers(servers);
    while (!signal.aborted) {
      const found = await Promise.allSettled([resolver.resolve4(host.name), resolver.resolve6(host.name)]);
      const addresses = found.flatMap((result) => (result.status === "fulfilled" ? result.value : []));
      const made = addresses.flatMap((text) => {
        const address = parseIp(text);
        return address === undefined ? [] : [this.#make({ ...host.rest, address })];
      });
      if (made.length > 0) {
        this.#upstreams = [...this.#upstreams, ...made];
        return;
      }
      this.#log.error(`plugin/forward: the upstream ${host.name} has no address; looking again`);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref());
    }
  }
}
