/** `npm run walk -- --mode nftables|iptables [--variant legacy|nft] [--steps N] [--seed N] [--real-every N]`: one random walk. */
import { parseArgs } from "node:util";
import { Walk, WalkFailed } from "./walk.ts";

const USAGE =
  "npm run walk -- --mode nftables|iptables [--variant legacy|nft] [--steps N] [--seed N] [--real-every N (0: never)]";

function whole(text: string, option: string): number {
  const value = Number(text);
  if (!/^\d{1,10}$/.test(text) || value > 0xffffffff)
    throw new Error(`--${option} must be a whole number, not ${text}`);
  return value;
}

async function main(): Promise<number> {
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const { values } = parseArgs({
    options: {
      mode: { type: "string", default: "nftables" },
      variant: { type: "string" },
      steps: { type: "string", default: "1000" },
      seed: { type: "string" },
      "real-every": { type: "string", default: "50" },
    },
  });
  const { mode, variant } = values;
  if (mode !== "nftables" && mode !== "iptables")
    throw new Error(`--mode must be nftables or iptables\n${USAGE}`);
  if (variant !== undefined && (mode !== "iptables" || (variant !== "legacy" && variant !== "nft")))
    throw new Error(`--variant must be legacy or nft, of mode iptables\n${USAGE}`);
  const seed = values.seed === undefined ? Date.now() % 2 ** 31 : whole(values.seed, "seed");
  const steps = whole(values.steps, "steps");
  const name = `mode ${mode}${variant === undefined ? "" : ` (${variant})`}`;
  say(`random walk: ${name}, seed ${seed}, ${steps} steps`);
  const started = Date.now();
  const options = { mode, steps, seed, realEvery: whole(values["real-every"], "real-every"), say } as const;
  const walk = new Walk(variant === "legacy" || variant === "nft" ? { ...options, variant } : options);
  let isGood = false;
  try {
    await walk.run();
    isGood = true;
  } catch (error) {
    if (!(error instanceof WalkFailed)) throw error;
    say(`FAILED: ${error.message}`);
  } finally {
    await walk.close(isGood);
  }
  const { changes, restarts, traced, connections, freshStarts, conflicts, verdicts } = walk.counts;
  const outcomes = Object.entries(verdicts).map(([verdict, count]) => `${verdict} ${count}`);
  say(`packets by outcome: ${outcomes.join(", ")}; lost claims, summed over steps: ${conflicts}`);
  const seconds = ((Date.now() - started) / 1000).toFixed(0);
  say(
    `${isGood ? "passed" : "failed"}: ${name}, seed ${seed}, ${walk.counts.steps} steps with ${changes} changes and ${restarts} restarts, ${traced} packets traced, ${connections} real connections, ${freshStarts} fresh starts compared, ${seconds} s`,
  );
  return isGood ? 0 : 1;
}

process.exitCode = await main();
