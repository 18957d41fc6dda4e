/**
 * Layer dns. For which server blocks the native engine may give the chain's answers again: only where every plugin that
 * sees a query either does the same for the same question each time, or is done again by the engine (counting, shuffling,
 * running down TTLs). A Corefile with a `view` is answered by the chain alone.
 */

import type { Directive } from "../corefile/parser.ts";
import { CachePlugin } from "../plugins/cache/cache.ts";
import { ForwardPlugin } from "../plugins/forward/forward.ts";
import { KubernetesPlugin } from "../plugins/kubernetes/kubernetes.ts";
import { LoopGuard } from "../plugins/loop/setup.ts";
import type { Block } from "../server/block.ts";
import type { Instance } from "../server/instance.ts";

/** `any` is here for its questions are never learned; `file` and `whoami` stand behind kubernetes and are only cached. */
const REPEATABLE: ReadonlySet<string> = new Set([
  "any",
  "bind",
  "cache",
  "cancel",
  "chaos",
  "debug",
  "errors",
  "file",
  "forward",
  "health",
  "kubernetes",
  "loadbalance",
  "loop",
  "metadata",
  "multisocket",
  "prometheus",
  "ready",
  "reload",
  "timeouts",
  "tls",
  "transfer",
]);
/** With these alone, a name of no zone here stays unanswered: nobody else is asked. */
const CLOSED: ReadonlySet<string> = new Set(
  [...REPEATABLE].filter((name) => !["file", "forward"].includes(name)),
);

/** Before `forward` there may stand nothing that looks at its queries one by one, or answers some of them. */
const NOT_BEFORE_FORWARD: ReadonlySet<string> = new Set(["cancel", "file", "metadata"]);

export interface EngineBlock {
  readonly kubernetes: KubernetesPlugin | undefined;
  readonly cache: CachePlugin | undefined;
  /** The only one of the block, where the engine may forward in its place. */
  readonly forward: ForwardPlugin | undefined;
  readonly loop: LoopGuard | undefined;
  /** Zones of `kubernetes`, whose questions are never forwarded by the engine. */
  readonly ownZones: readonly string[];
  readonly shuffles: boolean;
  readonly counts: boolean;
  readonly isClosed: boolean;
}

function isPlainShuffle({ args, options = [] }: Directive): boolean {
  return options.length === 0 && args[0] !== "weighted";
}

function onlyForward(block: Block): ForwardPlugin | undefined {
  const all = block.plugins.filter((plugin) => plugin instanceof ForwardPlugin);
  return all.length === 1 ? all[0] : undefined;
}

/** Blocks whose answers may be learned. */
export function engineBlocks(instance: Instance): ReadonlyMap<Block, EngineBlock> {
  const found = new Map<Block, EngineBlock>();
  if (instance.blocks.some((block) => block.viewFilter !== undefined)) return found;
  for (const block of instance.blocks) {
    const names = block.directives.map((directive) => directive.name);
    if (!names.every((name) => REPEATABLE.has(name))) continue;
    // `prefer` and `weighted` sort what the engine would shuffle.
    if (block.directives.some((line) => line.name === "loadbalance" && !isPlainShuffle(line))) continue;
    found.set(block, {
      kubernetes: block.plugins.find((plugin) => plugin instanceof KubernetesPlugin),
      cache: block.plugins.find((plugin) => plugin instanceof CachePlugin),
      forward: names.some((name) => NOT_BEFORE_FORWARD.has(name)) ? undefined : onlyForward(block),
      loop: block.plugins.find((plugin) => plugin instanceof LoopGuard),
      ownZones: block.plugins.flatMap((plugin) =>
        plugin instanceof KubernetesPlugin ? plugin.options.zones : [],
      ),
      shuffles: names.includes("loadbalance"),
      counts: names.includes("prometheus"),
      isClosed: names.every((name) => CLOSED.has(name)),
    });
  }
  return found;
}
