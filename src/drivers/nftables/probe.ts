/**
 * Layer drivers. Finds out by trying whether this kernel can do what the table layout needs. Each feature is one batch
 * that builds and deletes a scratch table, so nothing of it ever becomes visible.
 */
import type { NftField, NftOp, NftStatement, NftTableFamily } from "../../model/nftables.ts";
import type { NftCommit, NftFeature } from "./driver.ts";

interface Trial {
  readonly feature: string;
  readonly needs: string;
  readonly ops: readonly NftOp[];
}

const PORT: readonly NftField[] = ["meta l4proto", "th dport"];

function chainWith(
  hook: "prerouting" | "postrouting",
  type: "nat" | "filter",
  ...statements: NftStatement[]
): NftOp[] {
  return [
    { op: "add-chain", chain: { name: "c", base: { type, hook, priority: 0 } } },
    { op: "add-rule", rule: { chain: "c", statements } },
  ];
}

function trials(family: NftTableFamily): readonly Trial[] {
  const daddr = family === "ip6" ? "ip6 daddr" : "ip daddr";
  const saddr = family === "ip6" ? "ip6 saddr" : "ip saddr";
  const nat = family === "ip6" ? "ip6" : "ip";
  const addressBytes = family === "ip6" ? 16 : 4;
  const slotKey: NftField[] = [daddr, ...PORT, { numgenRandomModulus: 4 }];
  return [
    {
      feature: "random choice from a concatenated map",
      needs: "nft_numgen, nft_nat and concatenated maps (Linux 5.6)",
      ops: [
        { op: "add-set", set: { name: "m", key: slotKey, data: [daddr, "th dport"], flags: [] } },
        ...chainWith("prerouting", "nat", { kind: "dnat-map", family: nat, fields: slotKey, map: "m" }),
        {
          op: "add-elements",
          set: "m",
          elements: {
            count: 1,
            keys: new Uint8Array(addressBytes + 12),
            data: new Uint8Array(addressBytes + 4),
          },
        },
      ],
    },
    {
      feature: "interval sets of concatenations",
      needs: "concatenated ranges (Linux 5.6)",
      ops: [
        {
          op: "add-set",
          set: { name: "r", key: [daddr, ...PORT, saddr], data: "none", flags: ["interval"] },
        },
        ...chainWith(
          "prerouting",
          "filter",
          { kind: "lookup", fields: [daddr, ...PORT, saddr], set: "r", negate: true },
          { kind: "verdict", verdict: { kind: "drop" } },
        ),
      ],
    },
    {
      feature: "address type of the destination",
      needs: "nft_fib",
      ops: chainWith("prerouting", "filter", {
        kind: "match",
        field: "fib daddr type",
        op: "==",
        value: Uint8Array.of(2, 0, 0, 0),
      }),
    },
    {
      feature: "masquerading with random ports",
      needs: "nft_masq",
      ops: chainWith("postrouting", "nat", { kind: "masquerade", fullyRandom: true }),
    },
    {
      feature: "rejecting",
      needs: "nft_reject",
      ops: [
        { op: "add-chain", chain: { name: "c" } },
        { op: "add-rule", rule: { chain: "c", statements: [{ kind: "reject" }] } },
      ],
    },
  ];
}

/** Errors by which a kernel says "I do not know that". */
const UNSUPPORTED = new Set(["ENOENT", "EOPNOTSUPP", "EINVAL", "EAFNOSUPPORT", "EPROTONOSUPPORT"]);

/** Tries every feature with `commit`, which must work on a scratch table of `family`. */
export function probeFeatures(
  family: NftTableFamily,
  commit: (ops: readonly NftOp[]) => NftCommit,
): readonly NftFeature[] {
  return trials(family).map((trial): NftFeature => {
    const outcome = commit([{ op: "add-table" }, ...trial.ops, { op: "delete-table" }]);
    if (outcome.kind === "committed") return { feature: trial.feature, result: { kind: "supported" } };
    const codes = outcome.failures.map((failure) => failure.code);
    if (codes.every((code) => UNSUPPORTED.has(code))) {
      return { feature: trial.feature, result: { kind: "unsupported", needs: trial.needs } };
    }
    return { feature: trial.feature, result: { kind: "unknown", message: codes.join(", ") } };
  });
}
