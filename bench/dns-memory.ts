/**
 * Benchmark `dns-memory`: private (anonymous) memory of the bundled resolver with a cluster's objects, and again after
 * every name was asked and the cache is full; resident size beside it, and what the contract allows: 50 MB and 0.5 KB for
 * each service and endpoint.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { corefile } from "./dns.ts";
import { DnsLab } from "./dns-process.ts";
import { allQuestions, foreignQuestions, writeQueries } from "./dns-queries.ts";
import { DnsSource } from "./dns-source.ts";
import type { Bench } from "./figure.ts";

const UPSTREAM_PORT = 15_353;
/** More than the cache holds. */
const FOREIGN = 12_000;
const BASE_MB = 50;
const KB_PER_OBJECT = 0.5;

export const bench: Bench = async ({ services, endpoints, say }) => {
  say(`dns-memory ${services} x ${endpoints}`);
  const lab = new DnsLab();
  const source = await DnsSource.start(services, endpoints);
  try {
    writeQueries(join(lab.folder, "all"), allQuestions(services, endpoints));
    writeQueries(join(lab.folder, "foreign"), foreignQuestions(FOREIGN));
    await lab.cLoop(UPSTREAM_PORT, "load");
    const lines = ["prometheus 127.0.0.1:0", "kubernetes cluster.local in-addr.arpa ip6.arpa"];
    const server = await lab.nodeplane(
      corefile([...lines, `forward . 127.0.0.1:${UPSTREAM_PORT}`, "cache 3600", "loadbalance"]),
      source.flags,
    );
    await source.taken();
    const idle = server.memory();
    for (const name of ["all", "foreign", "foreign"])
      server.load(join(lab.folder, name), { seconds: 0, window: 64 });
    await sleep(1_000);
    const used = server.memory();
    return [
      { figure: "dns_private", value: idle.privateMb, unit: "MB" },
      { figure: "dns_rss", value: idle.residentMb, unit: "MB" },
      { figure: "dns_private_used", value: used.privateMb, unit: "MB" },
      { figure: "dns_rss_used", value: used.residentMb, unit: "MB" },
      {
        figure: "dns_private_allowed",
        value: BASE_MB + (KB_PER_OBJECT * services * (1 + endpoints)) / 1024,
        unit: "MB",
      },
    ];
  } finally {
    await lab.close();
    await source.close();
  }
};
