/**
 * Random walks: a kernel's listing as text that is equal for equal rules, however they came about. Left out, because a table that was
 * changed step by step may differ there from one that was made at once:
 * - handles, counters, and the order of objects in a listing: the kernel's own bookkeeping;
 * - the number of a slot: an endpoint keeps its slot when others go (docs/nftables.md); the endpoints of a frontend are compared as
 *   a multiset, and their numbers must still be dense from 0;
 * - the clients that sets of clients remember: traffic, not rules.
 */
import { readNftListing } from "./nft-listing.ts";
import type { Mode } from "./oracle.ts";

const SLOT_MAPS: ReadonlySet<string> = new Set([
  "slots",
  "node-port-slots",
  "short-slots",
  "short-node-port-slots",
]);

/** Endpoints by frontend. @throws when numbers are not dense */
function slots(elements: ReadonlyMap<string, string>): string[] {
  const byFrontend = new Map<string, Map<number, string>>();
  for (const [key, destination] of elements) {
    const at = key.lastIndexOf(" ");
    const frontend = byFrontend.get(key.slice(0, at)) ?? new Map<number, string>();
    byFrontend.set(key.slice(0, at), frontend);
    frontend.set(Number(key.slice(at + 1)), destination);
  }
  return [...byFrontend].map(([frontend, numbered]) => {
    for (let i = 0; i < numbered.size; i++)
      if (!numbered.has(i))
        throw new Error(`slots of ${frontend} are not dense: ${[...numbered.keys()].join(" ")}`);
    return `${frontend} => ${[...numbered.values()].sort().join(", ")}`;
  });
}

function nftLines(text: string): string[] {
  const lines: string[] = [];
  for (const { family, chains, sets } of readNftListing(text, "nodeplane").values()) {
    for (const { name, base, rules } of chains.values()) {
      lines.push(`${family} chain ${name} ${JSON.stringify(base ?? {})}`);
      for (const [i, { statements, comment }] of rules.entries()) {
        const rule = JSON.stringify(statements).replace(/"counter":\{[^}]*\}/g, '"counter":null');
        lines.push(`${family} chain ${name} rule ${String(i).padStart(4, "0")} ${rule} ${comment}`);
      }
    }
    for (const { name, elements, ranges, isOfClients, properties } of sets.values()) {
      lines.push(`${family} set ${name} ${properties}`);
      if (isOfClients) continue;
      const held = SLOT_MAPS.has(name)
        ? slots(elements)
        : [...elements].map(([key, data]) => `${key} => ${data}`);
      for (const element of held) lines.push(`${family} set ${name} element ${element}`);
      for (const { before, first, last } of ranges)
        lines.push(`${family} set ${name} range ${before} ${first}-${last}`);
    }
  }
  return lines;
}

/** The order of chains goes, that of rules in a chain stays. */
function iptablesLines(text: string, family: string): string[] {
  const lines: string[] = [];
  let table = "";
  const numbers = new Map<string, number>();
  for (const line of text.split("\n")) {
    if (line.startsWith("*")) table = line.slice(1);
    else if (line.startsWith(":")) lines.push(`${family} ${table} ${line.replace(/ \[\d+:\d+\]/, "")}`);
    else if (line.startsWith("-A ")) {
      const chain = `${table} ${line.split(" ")[1] ?? ""}`;
      const number = numbers.get(chain) ?? 0;
      numbers.set(chain, number + 1);
      lines.push(`${family} ${chain} rule ${String(number).padStart(4, "0")} ${line}`);
    }
  }
  return lines;
}

/** A listing of iptables-save without the guard of loopback, which stays when node ports leave loopback again. */
export function withoutGuard(text: string): string {
  const lines = text.split("\n").filter((line) => !line.includes("KUBE-FIREWALL"));
  return lines.join("\n");
}

/** Sorted lines. */
export function normalise(mode: Mode, listing: readonly string[]): readonly string[] {
  const lines =
    mode === "nftables"
      ? nftLines(listing[0] ?? "")
      : listing.flatMap((text, i) => iptablesLines(text, i === 0 ? "ip" : "ip6"));
  return lines.sort();
}

/** Lines that are in one and not in the other, at most `most` of each. */
export function difference(a: readonly string[], b: readonly string[], most = 10): readonly string[] {
  const inA = new Set(a);
  const inB = new Set(b);
  return [
    ...a
      .filter((line) => !inB.has(line))
      .slice(0, most)
      .map((line) => `walked only: ${line}`),
    ...b
      .filter((line) => !inA.has(line))
      .slice(0, most)
      .map((line) => `fresh only: ${line}`),
  ];
}
