/** Plays cases: one resolver for all that share a set-up, each case over every transport that it leaves open. */
import type { DnsCase } from "./case-file.ts";
import { ask, type Transport } from "./client.ts";
import { differences } from "./compare.ts";
import { corefileFor, flagsFor, setupKey } from "./corefile.ts";
import { startResolver } from "./resolver-process.ts";
import { startUpstream } from "./upstream-stub.ts";

export interface CaseResult {
  readonly entry: DnsCase;
  /** `transport: difference`, empty when the case passed. */
  readonly problems: readonly string[];
}

export interface RunOptions {
  readonly fixture: string;
  /** What cases that name no transport are sent over. */
  readonly transports: readonly Transport[];
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
    const corefile = corefileFor(opts, upstream?.port);
    const resolver = await startResolver(corefile, ["--objects", options.fixture, ...flagsFor(opts)]);
    try {
      const results: CaseResult[] = [];
      for (const entry of group) results.push(await runCase(entry, resolver.port, options));
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

async function runCase(entry: DnsCase, port: number, options: RunOptions): Promise<CaseResult> {
  const named = entry.opts?.transport;
  const problems: string[] = [];
  for (const transport of named === undefined ? transportsOf(entry, options) : [named]) {
    try {
      const seen = await ask(entry, transport, port);
      problems.push(...differences(entry, transport, seen).map((text) => `${transport}: ${text}`));
    } catch (error) {
      problems.push(`${transport}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { entry, problems };
}

/** Transfers go over TCP only. */
function transportsOf(entry: DnsCase, options: RunOptions): readonly Transport[] {
  return entry.qtype === "AXFR" ? ["tcp"] : options.transports;
}
