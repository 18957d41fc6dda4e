/**
 * `npm run packet-cases -- FILE… [--mode nftables|iptables|ipvs] [--iptables legacy|nft] [--only ID]… [--default-config] [--twins]
 * [--verbose]`
 * Plays stateless packet cases on real namespaces with the real agent. Exit status 0: all passed; 1: some failed;
 * 2: a file, an option or the machine is not fit for it.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { AgentFailed } from "./agent.ts";
import { CaseFileError } from "./at.ts";
import { type Case, type CaseFile, type Expectation, MODES, type Mode, readCaseFile } from "./case-file.ts";
import { play } from "./play.ts";
import { whySkipped } from "./skipped.ts";
import { twinsOf } from "./twins.ts";

const USAGE =
  "usage: npm run packet-cases -- [FILE…] [--mode nftables|iptables|ipvs] [--iptables legacy|nft] [--only ID or beginning]… [--default-config] [--twins] [--verbose]";
const DEFAULT_FILE = join(import.meta.dirname, "../cases/packet-cases.yaml");

class UsageError extends Error {}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function options(args: readonly string[]): {
  readonly files: readonly string[];
  readonly mode: Mode;
  readonly variant?: string;
  readonly only: readonly string[];
  /** Leave out cases with settings of their own: one agent plays the rest. */
  readonly defaultConfig: boolean;
  /** Play the IPv6 twins of IPv4 cases too. */
  readonly twins: boolean;
  readonly verbose: boolean;
} {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      mode: { type: "string", default: "nftables" },
      iptables: { type: "string" },
      only: { type: "string", multiple: true, default: [] },
      "default-config": { type: "boolean", default: false },
      twins: { type: "boolean", default: false },
      verbose: { type: "boolean", default: false },
    },
  });
  const mode = MODES.find((name) => name === values.mode);
  if (mode === undefined) throw new UsageError(`--mode must be one of ${MODES.join(", ")}`);
  const files = positionals.length === 0 ? [DEFAULT_FILE] : positionals;
  const missing = files.find((file) => !existsSync(file));
  if (missing !== undefined) throw new UsageError(`${missing}: no such file`);
  const only = values.only.flatMap((text) => text.split(",")).filter((text) => text !== "");
  const variant = values.iptables;
  if (variant !== undefined && variant !== "legacy" && variant !== "nft")
    throw new UsageError("--iptables must be legacy or nft");
  return {
    files,
    mode,
    only,
    defaultConfig: values["default-config"],
    twins: values.twins,
    verbose: values.verbose,
    ...(variant === undefined ? {} : { variant }),
  };
}

/** A word of `--only` is an id if there is one, else the beginning of ids. */
function selected(cases: readonly Case[], only: readonly string[]): readonly Case[] {
  if (only.length === 0) return cases;
  const ids = new Set(cases.map((item) => item.id));
  return cases.filter(({ id }) => only.some((word) => (ids.has(word) ? id === word : id.startsWith(word))));
}

/** Says how many there are and which cases have none. */
function twinsOfFile(file: CaseFile): CaseFile {
  const { file: twins, without } = twinsOf(file);
  const played = twins.cases.filter(({ expect }) => expect !== undefined).length;
  say(`${file.path}: ${played} IPv4 cases have an IPv6 twin (id-v6), ${without.length} have none:`);
  for (const { id, reason } of without) say(`  ${id}: ${reason}`);
  return twins;
}

async function main(): Promise<number> {
  const { files, mode, variant, only, defaultConfig, twins, verbose } = options(process.argv.slice(2));
  if (process.getuid?.() !== 0)
    throw new UsageError("packet cases make network namespaces: run them as root");
  let passed = 0;
  let failed = 0;
  let known = 0;
  let skipped = 0;
  const queue = files.flatMap((path) => {
    const file = readCaseFile(path, mode);
    return twins ? [file, twinsOfFile(file)] : [file];
  });
  for (const file of queue) {
    const { path } = file;
    const all = selected(file.cases, only);
    const chosen = all.filter(({ hasOwnConfig }) => !(defaultConfig && hasOwnConfig));
    if (chosen.length < all.length)
      say(`${path}: ${all.length - chosen.length} cases with settings of their own are left out`);
    known += chosen.length;
    const mine = chosen.filter(
      (item): item is Case & { readonly expect: Expectation } => item.expect !== undefined,
    );
    const others = chosen.length - mine.length;
    const cases = mine.filter(({ id }) => {
      const reason = whySkipped(id, mode);
      if (reason !== undefined) say(`skip ${id}: ${reason}`);
      return reason === undefined;
    });
    skipped += mine.length - cases.length;
    if (others > 0) say(`${path}: ${others} cases are not for mode ${mode}`);
    if (file.notPlayed > 0 && only.length === 0)
      say(`${path}: ${file.notPlayed} stateful and http cases are tests: test/stateful`);
    if (cases.length === 0) continue;
    await play({
      file,
      cases,
      mode,
      ...(variant === undefined ? {} : { variant }),
      onVerdict: ({ id, failure }) => {
        if (failure === undefined) passed++;
        else failed++;
        if (failure !== undefined) say(`FAIL ${id}\n  ${failure}`);
        else if (verbose) say(`ok   ${id}`);
      },
    });
  }
  if (known === 0) throw new UsageError(`no case matches ${only.join(", ")}`);
  say(`${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`);
  return failed === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  const usage = error instanceof UsageError || (error instanceof TypeError && "code" in error);
  const expected = usage || error instanceof CaseFileError || error instanceof AgentFailed;
  process.stderr.write(
    `packet-cases: ${expected ? (error as Error).message : ((error as Error).stack ?? String(error))}\n`,
  );
  if (usage) process.stderr.write(`${USAGE}\n`);
  process.exitCode = 2;
}
