/**
 * Benchmark `dns`: answers per second of the server's own processor time, the server alone on one core, the generator on
 * another. Cluster names through the native engine, every name of the cluster asked once (nothing is warm), cached names,
 * forwarded names, and cluster names through the plugin chain; beside them a loop in C that does nothing but read and
 * write, and peers (`--peer coredns=PATH`). Names are asked in mixed case, the generator checks every answer. Times at half
 * of the load that the server has just shown to take, and the loop's at the same load; offered evenly: what was due while the
 * generator did not run is not sent as a burst.
 */
import { join } from "node:path";
import { corednsFigures } from "./dns-peer.ts";
import { DnsLab, type DnsProcess } from "./dns-process.ts";
import { allQuestions, clusterQuestions, foreignQuestions, writeQueries } from "./dns-queries.ts";
import { DnsSource } from "./dns-source.ts";
import type { Bench, Figure } from "./figure.ts";

const SECONDS = 5;
const WARM_SECONDS = 3;
const WARM_WINDOW = 64;
const NAMES = 5_000;
const CACHED_NAMES = 5_000;
export const UPSTREAM_PORT = 15_353;
const LOOP_PORT = 15_354;

export function corefile(lines: readonly string[], port = 0): string {
  return `.:${port} {\n  bind 127.0.0.1\n  errors\n${lines.map((line) => `  ${line}\n`).join("")}}\n`;
}

const KUBERNETES = "kubernetes cluster.local in-addr.arpa ip6.arpa";
export const FORWARD = `forward . 127.0.0.1:${UPSTREAM_PORT}`;

/** Asks everything once, warms up, then measures at full load. */
export function measure(prefix: string, server: DnsProcess, file: string): readonly Figure[] {
  server.load(file, { seconds: 0, window: WARM_WINDOW });
  server.load(file, { seconds: WARM_SECONDS });
  const before = server.cpuSeconds();
  const { answered, bad } = server.load(file, { seconds: SECONDS });
  const cpu = server.cpuSeconds() - before;
  return [
    { figure: `${prefix}_per_cpu_second`, value: answered / cpu, unit: "1/s" },
    { figure: `${prefix}_per_second`, value: answered / SECONDS, unit: "1/s" },
    { figure: `${prefix}_bad`, value: bad, unit: "count" },
  ];
}

/** Every query of the file once. */
export function measureOnce(prefix: string, server: DnsProcess, file: string): readonly Figure[] {
  const before = server.cpuSeconds();
  const { answered, bad } = server.load(file, { seconds: 0, window: WARM_WINDOW });
  const cpu = server.cpuSeconds() - before;
  return [
    { figure: `${prefix}_per_cpu_second`, value: answered / cpu, unit: "1/s" },
    { figure: `${prefix}_bad`, value: bad, unit: "count" },
  ];
}

export function measureHalf(
  prefix: string,
  server: DnsProcess,
  file: string,
  rate: number,
): readonly Figure[] {
  const { p50, p99 } = server.load(file, { seconds: SECONDS, rate, window: 1_024 });
  return [
    { figure: `${prefix}_half_load_p50`, value: p50, unit: "us" },
    { figure: `${prefix}_half_load_p99`, value: p99, unit: "us" },
  ];
}

export const bench: Bench = async (options) => {
  const { services, endpoints, say } = options;
  const lab = new DnsLab();
  const figures: Figure[] = [];
  const file = (name: string): string => join(lab.folder, name);
  writeQueries(file("cluster"), clusterQuestions(services, NAMES));
  writeQueries(file("all"), allQuestions(services, endpoints));
  writeQueries(file("foreign"), foreignQuestions(CACHED_NAMES));
  let source: DnsSource | undefined;
  try {
    say(`dns ${services} x ${endpoints}`);
    source = await DnsSource.start(services, endpoints);
    await lab.cLoop(UPSTREAM_PORT, "load");
    const native = await lab.nodeplane(
      corefile(["prometheus 127.0.0.1:0", KUBERNETES, FORWARD, "cache 3600", "loadbalance"]),
      source.flags,
    );
    await source.taken();
    figures.push(...measureOnce("dns_cold", native, file("all")));
    const own = measure("dns", native, file("cluster"));
    const half = (own.find(({ figure }) => figure === "dns_per_second")?.value ?? 0) / 2;
    figures.push(...own, ...measureHalf("dns", native, file("cluster"), half));
    figures.push(...measure("dns_cached", native, file("foreign")));
    await native.stop();
    const loop = await lab.cLoop(LOOP_PORT, "server");
    figures.push(
      ...measure("dns_c_loop", loop, file("cluster")),
      ...measureHalf("dns_c_loop", loop, file("cluster"), half),
    );
    await loop.stop();
    const forwarding = await lab.nodeplane(corefile(["prometheus 127.0.0.1:0", FORWARD]), []);
    figures.push(...measure("dns_forward", forwarding, file("foreign")));
    await forwarding.stop();
    // With `minimal` the engine answers nothing by itself: it reads and sends for the chain.
    const chainLines = ["prometheus 127.0.0.1:0", KUBERNETES, "minimal", "cache 3600", "loadbalance"];
    const chain = await lab.nodeplane(corefile(chainLines), source.flags);
    await source.taken();
    figures.push(...measure("dns_chain", chain, file("cluster")));
    await chain.stop();
    const sockets = await lab.nodeplane(corefile(chainLines), [...source.flags, "--engine", "off"]);
    await source.taken();
    figures.push(...measure("dns_chain_without_addon", sockets, file("cluster")));
    await sockets.stop();
    const coredns = options.peers.get("coredns");
    if (coredns !== undefined)
      figures.push(
        ...(await corednsFigures(coredns, lab, options, { kubernetes: KUBERNETES, forward: FORWARD, file })),
      );
    return figures;
  } finally {
    await lab.close();
    await source?.close();
  }
};
