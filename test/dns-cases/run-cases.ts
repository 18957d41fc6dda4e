/** Plays cases: one resolver for all that share a set-up, each case over every transport that it leaves open. */
import type { DnsMessage } from "../../src/codec/dns/message.ts";
import type { DnsCase } from "./case-file.ts";
import { ask, type Transport } from "./client.ts";
import { differences } from "./compare.ts";
import { corefileFor, flagsFor, setupKey } from "./corefile.ts";
import { belongsToEngine, compareReplies, engineAnswers, type Path } from "./paths.ts";
import { type ResolverProcess, startResolver } from "./resolver-process.ts";
import { startUpstream } from "./upstream-stub.ts";

/** The native engine by itself; it again what the chain had said; the chain each time. */
type AnsweredBy = "engine" | "learned" | "chain";

export interface CaseResult {
  readonly entry: DnsCase;
  /** `transport: difference`, empty when the case passed. */
  readonly problems: readonly string[];
  /** Over UDP; absent where the engine was off or the case is not for UDP. */
  readonly answeredBy?: AnsweredBy;
}

export interface RunOptions {
  readonly fixture: string;
  /** What cases that name no transport are sent over. */
  readonly transports: readonly Transport[];
  readonly path: Path;
  /** Fails cases that the native engine leaves to the chain where it need not: for cases that were written with it in mind. */
  readonly demandsEngine: boolean;
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
      if (transport !== "udp" || options.path === "chain") {
        problems.push(...differences(entry, transport, await ask(entry, transport, port)));
        continue;
      }
      const seen = await askEngine(entry, resolver, options);
      answeredBy = seen.answeredBy;
      problems.push(...seen.problems.map((text) => `udp (${seen.answeredBy}): ${text}`));
    } catch (error) {
      problems.push(`${transport}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { entry, problems, ...(answeredBy === undefined ? {} : { answeredBy }) };
}

interface EngineSeen {
  readonly problems: readonly string[];
  readonly answeredBy: AnsweredBy;
}

/** The question twice: what the engine does not know by itself it may have learned from the chain the second time. */
async function askEngine(
  entry: DnsCase,
  resolver: ResolverProcess,
  { path, demandsEngine }: RunOptions,
): Promise<EngineSeen> {
  const start = await engineAnswers(resolver);
  const first = await ask(entry, "udp", resolver.port);
  const middle = await engineAnswers(resolver);
  const second = await ask(entry, "udp", resolver.port);
  const end = await engineAnswers(resolver);
  const answeredBy = middle > start ? "engine" : end > middle ? "learned" : "chain";
  const problems = [...differences(entry, "udp", first), ...differences(entry, "udp", second)];
  if (path === "both" && answeredBy !== "chain") {
    // Over TCP it is always the chain that answers.
    const byChain = answeredBy === "engine" ? await ask(entry, "tcp", resolver.port) : first;
    const [chain] = byChain?.messages ?? [];
    const [engine] = second?.messages ?? [];
    // The question over TCP has no EDNS unless the case says so.
    if (chain !== undefined && engine !== undefined) {
      const ours = answeredBy === "engine" && chain.edns === undefined ? withoutEdns(engine) : engine;
      problems.push(...compareReplies(chain, ours));
    }
  }
  if (demandsEngine && answeredBy !== "engine" && belongsToEngine(entry))
    problems.push("the engine should have answered the first question itself");
  return { problems, answeredBy };
}

function withoutEdns({ edns, ...message }: DnsMessage): DnsMessage {
  void edns;
  return message;
}

/** Transfers go over TCP only. */
function transportsOf(entry: DnsCase, options: RunOptions): readonly Transport[] {
  return entry.qtype === "AXFR" ? ["tcp"] : options.transports;
}
