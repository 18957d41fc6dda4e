/**
 * Random walks: what a trace found against what the oracle expects. Says in words what is wrong. How exact shares must be: a
 * balanced choice in iptables mode and with session affinity is exact to 0.001; the slots of nftables mode are a rejection sampling
 * with the bounds of docs/adr/0021.
 */
import type { Trace } from "./branches.ts";
import type { Expected, Mode, Verdict } from "./oracle.ts";

const EXACT = 1e-3;
/** ADR 0021: 2 % up to five slots, 12 % in the worst case. */
const FEW_SLOTS = 5;
const OFF_FEW = 0.02;
const OFF_MANY = 0.125;
/** Beyond this sum of weights shares are rounded to so many slots. */
const MOST_SLOTS = 1024;

export function verdictOf(trace: Trace): readonly Verdict[] {
  return [...trace.verdicts.keys(), ...(trace.endpoints.size > 0 ? (["BACKEND"] as const) : [])];
}

export function traceText(trace: Trace): string {
  const endpoints = [...trace.endpoints].map(
    ([text, { share, masqueraded }]) =>
      `${text} ${share.toFixed(4)}${masqueraded > 0 ? ` (masqueraded ${masqueraded.toFixed(4)})` : ""}`,
  );
  return [
    ...[...trace.verdicts].map(([verdict, share]) => `${verdict} ${share.toFixed(4)}`),
    ...endpoints,
  ].join(", ");
}

export function expectedText({ verdicts, endpoints, of }: Expected): string {
  const list = [...endpoints].map(
    ([text, { share, masquerade }]) =>
      `${text} ${share.toFixed(4)}${masquerade === false ? "" : ` (masqueraded: ${masquerade})`}`,
  );
  const whose = of === undefined ? "" : ` [${of.service}:${of.portName}/${of.protocol}/${of.family}]`;
  return `${verdicts.join(" or ")}${list.length === 0 ? "" : ` ${list.join(", ")}`}${whose}`;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/** How far a share may be off. */
function tolerance({ of, endpoints }: Expected, mode: Mode): (share: number) => number {
  const sets = of === undefined ? [] : [...of.sets.cluster, ...of.sets.local];
  const weightOf = new Map(sets.map(({ text, weight }) => [text, weight]));
  const weights = [...endpoints.keys()].map((text) => weightOf.get(text) ?? 1);
  const slots = weights.reduce((sum, weight) => sum + weight, 0) / weights.reduce(gcd, 0);
  const rounding = slots > MOST_SLOTS ? (weights.length + 1) / MOST_SLOTS : 0;
  if (mode === "iptables" || of?.hasAffinity === true) return () => EXACT + rounding;
  const off = slots <= FEW_SLOTS ? OFF_FEW : OFF_MANY;
  return (share) => EXACT + rounding + share * off;
}

/** @returns what is wrong, or `undefined` */
export function compare(expected: Expected, trace: Trace, mode: Mode): string | undefined {
  const found = verdictOf(trace);
  const [only] = found;
  if (found.length !== 1 || only === undefined) return `several outcomes: ${found.join(", ")}`;
  if (!expected.verdicts.includes(only)) return `outcome ${only}`;
  if (only !== "BACKEND") return undefined;
  const allowed = tolerance(expected, mode);
  let sum = 0;
  for (const [text, { share, masqueraded }] of trace.endpoints) {
    const wanted = expected.endpoints.get(text);
    if (wanted === undefined) return `reaches ${text}, which is not allowed`;
    if (Math.abs(share - wanted.share) > allowed(wanted.share))
      return `${text} has a share of ${share.toFixed(5)} instead of ${wanted.share.toFixed(5)}`;
    if (wanted.masquerade === true && Math.abs(masqueraded - share) > 1e-9)
      return `${text} is not masqueraded`;
    if (wanted.masquerade === false && masqueraded > 0) return `${text} is masqueraded`;
    sum += share;
  }
  for (const text of expected.endpoints.keys())
    if (!trace.endpoints.has(text)) return `never reaches ${text}`;
  return Math.abs(sum - 1) > 1e-9 ? `shares add up to ${sum}` : undefined;
}
