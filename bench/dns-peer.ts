/** Benchmarks. CoreDNS on the same objects (from an API made for it), with the same lines in its Corefile, under the same load. */

import { corefile, measure, measureHalf, measureOnce } from "./dns.ts";
import { startApi } from "./dns-api.ts";
import type { DnsLab } from "./dns-process.ts";
import { serviceDomain } from "./dns-queries.ts";
import type { BenchOptions, Figure } from "./figure.ts";

const PORT = 15_355;

export interface PeerContext {
  readonly kubernetes: string;
  readonly forward: string;
  readonly file: (name: string) => string;
}

export async function corednsFigures(
  path: string,
  lab: DnsLab,
  { services, endpoints, say }: BenchOptions,
  context: PeerContext,
): Promise<readonly Figure[]> {
  say(`coredns ${services} x ${endpoints}`);
  const { file, forward } = context;
  const api = await startApi(services, endpoints);
  const figures: Figure[] = [];
  try {
    const kubernetes = `${context.kubernetes} {\n    endpoint ${api.url}\n  }`;
    const known = { port: PORT, name: serviceDomain(services - 1) };
    const lines = ["prometheus 127.0.0.1:15356", kubernetes, forward, "cache 3600", "loadbalance"];
    const cached = await lab.coredns(path, corefile(lines, PORT), known);
    const { privateMb, residentMb } = cached.memory();
    figures.push(
      { figure: "dns_private", value: privateMb, unit: "MB" },
      { figure: "dns_rss", value: residentMb, unit: "MB" },
      ...measureOnce("dns_cold", cached, file("all")),
    );
    const own = measure("dns", cached, file("cluster"));
    const half = (own.find(({ figure }) => figure === "dns_per_second")?.value ?? 0) / 2;
    figures.push(
      ...own,
      ...measureHalf("dns", cached, file("cluster"), half),
      ...measure("dns_cached", cached, file("foreign")),
    );
    await cached.stop();
    const foreign = { port: PORT, name: "www.name0.example.com." };
    const forwarding = await lab.coredns(
      path,
      corefile(["prometheus 127.0.0.1:15356", forward], PORT),
      foreign,
    );
    figures.push(...measure("dns_forward", forwarding, file("foreign")));
    await forwarding.stop();
  } finally {
    api.close();
  }
  return figures.map((figure) => ({ ...figure, peer: "coredns" }));
}
