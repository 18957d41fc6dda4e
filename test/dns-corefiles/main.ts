/**
 * `npm run dns-corefiles -- [--only NAME] [--peer coredns=PATH] [--record]`: plays the Corefile cases. What ours says must be what
 * `test/golden/dns-corefiles` holds (`--record` writes it); with a peer, answers that differ are shown beside each other.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { ResolverProcess } from "../dns-cases/resolver-process.ts";
import type { CorefileCase } from "./corefile-case.ts";
import { COREFILES } from "./corefiles.ts";
import { play, startCase, startUpstream } from "./servers.ts";

const GOLDEN = join(import.meta.dirname, "../golden/dns-corefiles");

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: "string", multiple: true },
      peer: { type: "string" },
      record: { type: "boolean", default: false },
    },
  });
  const peer = values.peer === undefined ? undefined : /^coredns=(.+)$/.exec(values.peer)?.[1];
  if (values.peer !== undefined && peer === undefined)
    throw new Error(`--peer: "${values.peer}"; allowed: coredns=PATH`);
  const cases = COREFILES.filter(({ name }) => values.only?.some((text) => name.includes(text)) ?? true);
  const upstream = await startUpstream();
  let failed = 0;
  try {
    for (const entry of cases) {
      const problems = await runCase(entry, upstream, { peer, isRecording: values.record });
      for (const problem of problems) process.stdout.write(`${problem}\n`);
      if (problems.length > 0) failed++;
    }
  } finally {
    await upstream.stop();
  }
  process.stdout.write(`${cases.length - failed} passed, ${failed} failed\n`);
  return failed === 0 && cases.length > 0 ? 0 : 1;
}

async function runCase(
  entry: CorefileCase,
  upstream: ResolverProcess,
  how: { readonly peer: string | undefined; readonly isRecording: boolean },
): Promise<readonly string[]> {
  const ours = await answers(entry, upstream);
  const path = join(GOLDEN, `${entry.name}.txt`);
  const text = entry.questions.map((question, i) => `? ${question}\n${ours[i] ?? ""}\n`).join("\n");
  if (how.isRecording) {
    mkdirSync(GOLDEN, { recursive: true });
    writeFileSync(path, text);
  }
  const problems: string[] = [];
  if (how.peer === undefined) {
    if (readFileSync(path, "utf8") !== text)
      problems.push(`FAIL ${entry.name}: expected ${path}, seen\n${text}`);
    return problems;
  }
  const theirs = await answers(entry, upstream, how.peer);
  for (const [i, question] of entry.questions.entries()) {
    const [left = "", right = ""] = [ours[i], theirs[i]];
    const reason = entry.differences?.[question];
    const isSame = comparable(left) === comparable(right);
    if (isSame && reason !== undefined)
      problems.push(`FAIL ${entry.name}: ${question}: no difference any more`);
    if (isSame || reason !== undefined) continue;
    problems.push(`FAIL ${entry.name}: ${question}\n  ours:\n${indent(left)}\n  CoreDNS:\n${indent(right)}`);
  }
  return problems;
}

/**
 * Without what always differs: RA where a block forwards, the spelling of the name asked for, and name servers that CoreDNS's
 * `file` adds to positive answers (docs/dns.md).
 */
function comparable(text: string): string {
  const lines = text.toLowerCase().split("\n");
  const [head = "", ...rest] = lines;
  const isPositive = head.startsWith("noerror") && rest.some((line) => !line.startsWith("authority:"));
  const kept = rest.filter((line) => !isPositive || !/^authority: \S+ \d+ ns |^additional: ns/.test(line));
  return [head.replace(" ra", ""), ...kept].join("\n");
}

async function answers(
  entry: CorefileCase,
  upstream: ResolverProcess,
  peer?: string,
): Promise<readonly string[]> {
  const server = await startCase(entry, upstream.port, peer);
  try {
    return await play(entry, server.port);
  } finally {
    await server.stop();
  }
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, "    ");
}

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`dns-corefiles: ${error instanceof Error ? error.message : String(error)}\n`);
  return 2;
});
