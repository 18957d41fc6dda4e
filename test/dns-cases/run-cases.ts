/** Plays cases: one resolver for all that share a set-up, each case over every transport that it leaves open. */
import type { DnsCase } from "./case-file.ts";
import { ask, type Seen, type Transport } from "./client.ts";
import { differences } from "./compare.ts";
import { corefileFor, flagsFor, setupKey } from "./corefile.ts";
import { belongsToEngine, compareReplies, engineAnswers, type Path } from "./paths.ts";
import { type ResolverProcess, startResolver } from "./resolver-process.ts";
import { startUpstream } from "./upstream-stub.ts";

export interface CaseResult {
  readonly entry: DnsCase;
  /** `transport: difference`, empty when the case passed. */
  readonly problems: readonly string[];
  /** Over UDP; absent where the engine was off or the case is not for UDP. */
  readonly answeredBy?: "engine" | "chain";
}

export interface RunOptions {
  readonly fixture: string;
  /** What cases that name no transport are sent over. */
  readonly transports: readonly Transport[];
  readonly path: Path;
  readonly onResult: (result: CaseResult) => void;
}

/** Resolvers that run at the same time. */
const PARALLEL = 2;

export async function runCases(
  cases: readonly DnsCase[],
  options: RunOptions,
): Promise<readonly CaseResult[]> {
  const groups = [...Map.groupBy(cases, (entry) => setupKey(entry.opts ?? {})).values()];
  const results: CaseResult[] = [];
  const work = async (): Promise<void> => {
    for (;;) {
      const group = groups.shift();
      if (group === undefined) return;
      for (const result of await runGroup(group, options)) {
        results.push(result);
        options.onResult(result);
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  return results;
}

async function runGroup(group: readonly DnsCase[], options: RunOptions): Promise<readonly CaseResult[]> {
  const opts = group[0]?.opts ?? {};
  const upstream = opts.upstream === undefined ? undefined : await startUpstream(opts.upstream);
  try {
    const isChain = options.path === "chain";
    const corefile = corefileFor(opts, upstream?.port);
    const flags = ["--objects", options.fixture, "--engine", isChain ? "off" : "on", ...flagsFor(opts)];
    const resolver = await startResolver(isChain ? corefile : withMetrics(corefile), flags);
    try {
      const results: CaseResult[] = [];
      for (const entry of group) results.push(await runCase(entry, resolver, options));
      return results;
    } finally {
      await resolver.stop();
    }
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return group.map((entry) => ({ entry, problems: [text] }));
  } finally {
    upstream?.close();
  }
}

function withMetrics(corefile: string): string {
  return /^ {2}prometheus/m.test(corefile)
    ? corefile
    : corefile.replace("{\n", "{\n  prometheus 127.0.0.1:0\n");
}

async function runCase(entry: DnsCase, resolver: ResolverProcess, options: RunOptions): Promise<CaseResult> {
  const { port } = resolver;
  let answeredBy: CaseResult["answeredBy"];
  const named = entry.opts?.transport;
  const problems: string[] = [];
  for (const transport of named === undefined ? transportsOf(entry, options) : [named]) {
    try {
      const seen = await ask(entry, transport, port);
      if (options.path !== "engine" || transport !== "udp") {
        problems.push(...differences(entry, transport, seen).map((text) => `${transport}: ${text}`));
      }
      if (transport !== "udp" || options.path === "chain") continue;
      const second = await askAgain(entry, resolver, options.path === "both" ? seen : undefined);
      answeredBy = second.answeredBy;
      problems.push(...second.problems.map((text) => `udp, second time (${second.answeredBy}): ${text}`));
    } catch (error) {
      problems.push(`${transport}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { entry, problems, ...(answeredBy === undefined ? {} : { answeredBy }) };
}

/** The question once more, for the engine. */
async function askAgain(
  entry: DnsCase,
  resolver: ResolverProcess,
  first: Seen | undefined,
): Promise<{ readonly problems: readonly string[]; readonly answeredBy: "engine" | "chain" }> {
  const before = await engineAnswers(resolver);
  const seen = await ask(entry, "udp", resolver.port);
  const answeredBy = (await engineAnswers(resolver)) > before ? "engine" : "chain";
  const problems = [...differences(entry, "udp", seen)];
  const [chain] = first?.messages ?? [];
  const [engine] = seen?.messages ?? [];
  if (chain !== undefined && engine !== undefined && answeredBy === "engine")
    problems.push(...compareReplies(chain, engine));
  if (answeredBy === "chain" && belongsToEngine(entry))
    problems.push("the engine should have answered itself");
  return { problems, answeredBy };
}

/** Transfers go over TCP only. */
function transportsOf(entry: DnsCase, options: RunOptions): readonly Transport[] {
  return entry.qtype === "AXFR" ? ["tcp"] : options.transports;
}
