/**
 * Layer agent. Finds base chains of others that drop forwarded packets by policy (Docker and some firewalls do): traffic
 * of pods then needs an accept there, since an accept in our table does not override another table's drop.
 * Reads `nft -j list chains` where nft is installed; says "unknown" where it is not. Changes nothing.
 */
import { execFile } from "node:child_process";

export type ForwardPolicy =
  | { readonly kind: "open" }
  /** `family table chain` of each chain that drops. */
  | { readonly kind: "drops"; readonly chains: readonly string[] }
  | { readonly kind: "unknown"; readonly why: string };

/** Runs a command and gives its standard output; a test gives its own. @throws when it is missing or fails */
export type RunCommand = (file: string, args: readonly string[]) => Promise<string>;

export const runCommand: RunCommand = (file, args) =>
  new Promise((resolve, reject) => {
    execFile(file, [...args], { timeout: 10_000, maxBuffer: 4 << 20 }, (error, stdout) => {
      if (error === null) resolve(stdout);
      else reject(error);
    });
  });

export async function readForwardPolicy(run: RunCommand): Promise<ForwardPolicy> {
  try {
    const output = await run("nft", ["-j", "list", "chains"]);
    const chains = forwardDrops(JSON.parse(output));
    return chains.length === 0 ? { kind: "open" } : { kind: "drops", chains };
  } catch (error) {
    return { kind: "unknown", why: `nft cannot be asked: ${(error as Error).message.split("\n")[0] ?? ""}` };
  }
}

/** @param listing what `nft -j list chains` printed */
export function forwardDrops(listing: unknown): readonly string[] {
  const objects = (listing as { nftables?: unknown } | null)?.nftables;
  if (!Array.isArray(objects)) return [];
  return objects.flatMap((object: unknown) => {
    const chain = (object as { chain?: Readonly<Record<string, unknown>> } | null)?.chain;
    const isDrop = chain?.["hook"] === "forward" && chain["policy"] === "drop" && chain["type"] === "filter";
    return isDrop ? [`${String(chain["family"])} ${String(chain["table"])} ${String(chain["name"])}`] : [];
  });
}
