/** What a test must leave as it was: the machine's own network configuration, and nothing with the lab's name. */
import { readFileSync } from "node:fs";
import { environmentOf, listPids } from "../../../src/lab/processes.ts";
import { tryRun } from "../../../src/lab/run.ts";

const VOLATILE = /(_count|nf_conntrack_buckets|fib_sync_mem|tcp_fastopen_key|random|stable_secret) ?=/;

async function output(argv: readonly string[]): Promise<string> {
  return await tryRun(argv, { timeoutMs: 20_000 }).then(
    (result) => result.stdout,
    () => "",
  );
}

/** Rules, addresses, routes and network sysctls of the machine's own namespace, as text. */
export async function machineState(): Promise<string> {
  const [ruleset, legacy, links, addresses, routes, routes6, sysctls] = await Promise.all([
    output(["nft", "list", "ruleset"]),
    output(["iptables-legacy-save"]),
    output(["ip", "-o", "link"]),
    output(["ip", "-o", "address"]),
    output(["ip", "route", "show", "table", "all"]),
    output(["ip", "-6", "route", "show", "table", "all"]),
    output(["sysctl", "-a", "--pattern", "^net\\."]),
  ]);
  const lines = [
    ruleset,
    legacy.replaceAll(/^#.*$/gm, "").replaceAll(/\[\d+:\d+\]/g, ""),
    links.replaceAll(/ qlen \d+/g, ""),
    addresses.replaceAll(/ (valid|preferred)_lft \S+/g, ""),
    routes,
    routes6.replaceAll(/ expires \S+/g, ""),
    sysctls
      .split("\n")
      .filter((line) => !VOLATILE.test(line))
      .toSorted()
      .join("\n"),
  ];
  return lines.join("\n");
}

/** Mounts and processes that carry the lab's name: none before and after. */
export function labRemains(labName: string): readonly string[] {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(`/${labName}`));
  const processes = listPids().filter((pid) =>
    environmentOf(pid).some((entry) => entry.startsWith(`NODEPLANE_LAB=${labName}:`)),
  );
  return [...mounts, ...processes.map((pid) => `process ${pid}`)];
}
