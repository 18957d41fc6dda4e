/**
 * `npm run dns-cases -- --fixture FILE --cases FILE [--transport udp|tcp|both] [--path engine|chain|both]
 * [--only NAME] [--no-opts]`: plays cases of
 * names against the real resolver. Prints expected and seen of each failure, ends with `N passed, N failed`.
 */
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { readCases } from "./case-file.ts";
import type { Transport } from "./client.ts";
import { runCases } from "./run-cases.ts";

const DEFAULTS = join(import.meta.dirname, "../cases");
const OWN_CASES = join(DEFAULTS, "dns-cases.json");
const TRANSPORTS: Readonly<Record<string, readonly Transport[]>> = {
  udp: ["udp"],
  tcp: ["tcp"],
  both: ["udp", "tcp"],
};

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      fixture: { type: "string", default: join(DEFAULTS, "dns-fixture.yaml") },
      cases: { type: "string", default: OWN_CASES },
      transport: { type: "string", default: "both" },
      path: { type: "string", default: "both" },
      only: { type: "string", multiple: true },
      "no-opts": { type: "boolean", default: false },
    },
  });
  const transports = TRANSPORTS[values.transport];
  if (transports === undefined)
    throw new Error(`--transport: "${values.transport}"; allowed: udp, tcp, both`);
  const { path } = values;
  if (path !== "engine" && path !== "chain" && path !== "both")
    throw new Error(`--path: "${path}"; allowed: engine, chain, both`);
  const cases = readCases(values.cases)
    .filter((entry) => values.only === undefined || values.only.some((text) => entry.name.includes(text)))
    .filter((entry) => !values["no-opts"] || entry.opts === undefined);
  const results = await runCases(cases, {
    // The resolver runs in a folder of its own.
    fixture: resolve(values.fixture),
    transports,
    path,
    demandsEngine: values.cases === OWN_CASES,
    onResult: ({ entry, problems }) => {
      if (problems.length === 0) return;
      process.stdout.write(`FAIL ${entry.name}: ${entry.qname} ${entry.qtype}\n`);
      for (const problem of problems) process.stdout.write(`  ${problem}\n`);
    },
  });
  const named = (by: string): string =>
    results
      .filter(({ answeredBy }) => answeredBy === by)
      .map(({ entry }) => entry.name)
      .join(" ");
  const count = (by: string): number => results.filter(({ answeredBy }) => answeredBy === by).length;
  if (path !== "chain") {
    process.stdout.write(
      `native engine answered ${count("engine")}; learned from the chain ${count("learned")}: ${named("learned")}; ` +
        `handed up ${count("chain")}: ${named("chain")}\n`,
    );
  }
  const failed = results.filter((result) => result.problems.length > 0).length;
  process.stdout.write(`${results.length - failed} passed, ${failed} failed\n`);
  return failed === 0 && results.length > 0 ? 0 : 1;
}

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`dns-cases: ${error instanceof Error ? error.message : String(error)}\n`);
  return 2;
});
