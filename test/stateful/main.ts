/**
 * `npm run stateful-cases -- [--verbose] [nftables|iptables-legacy|iptables-nft|ipvs]…` plays the stateful and http cases of packet-cases.yaml
 * (without an argument in all modes but ipvs, side by side: they mostly wait) and prints the count of each mode. An id of the file that
 * no test names, or that did not pass, is a failure. Exit status 0, 1 (something failed) or 2 (usage).
 */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { PATIENCE } from "../support/patience.ts";

const CASES = join(import.meta.dirname, "../cases/packet-cases.yaml");
const MODES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  nftables: { NODEPLANE_TEST_MODE: "nftables" },
  "iptables-legacy": { NODEPLANE_TEST_MODE: "iptables", NODEPLANE_TEST_VARIANT: "legacy" },
  "iptables-nft": { NODEPLANE_TEST_MODE: "iptables", NODEPLANE_TEST_VARIANT: "nft" },
  // Needs a kernel with ip_vs.
  ipvs: { NODEPLANE_TEST_MODE: "ipvs" },
};

interface StatefulCase {
  readonly id: string;
  readonly only?: readonly string[];
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function readCases(): readonly StatefulCase[] {
  const file = parse(readFileSync(CASES, "utf8")) as Record<"stateful" | "http", readonly StatefulCase[]>;
  return [...file.stateful, ...file.http];
}

/** @param heard gets each part as it comes @returns what the test files say in a mode, in TAP */
function runTests(env: Readonly<Record<string, string>>, heard: (part: string) => void): Promise<string> {
  const files = readdirSync(import.meta.dirname).filter((name) => name.endsWith(".test.ts"));
  const flags = [
    "--test",
    "--test-reporter=tap",
    "--test-concurrency=2",
    `--test-timeout=${600_000 * PATIENCE}`,
  ];
  const child = spawn(
    process.execPath,
    [...flags, ...files.sort().map((name) => join(import.meta.dirname, name))],
    { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, ...env } },
  );
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => {
    text += part;
    heard(part);
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => resolve(text));
  });
}

/** Names of tests by their result. Skipped ones are in neither list. */
function results(tap: string): { readonly passed: readonly string[]; readonly failed: readonly string[] } {
  const lines = [...tap.matchAll(/^ *(not ok|ok) \d+ - (.*)$/gm)].filter(
    ([, , name = ""]) => !/ # (SKIP|TODO)/.test(name),
  );
  const names = (wanted: string) =>
    lines.filter(([, result]) => result === wanted).map(([, , name = ""]) => name);
  return { passed: names("ok"), failed: names("not ok") };
}

async function play(mode: string, cases: readonly StatefulCase[], isVerbose: boolean): Promise<boolean> {
  const started = Date.now();
  const tap = await runTests(MODES[mode] ?? {}, (part) => {
    for (const line of part.match(/^ *(not ok|ok) .*$/gm) ?? [])
      if (isVerbose) say(`${mode}: ${line.trim()}`);
  });
  const { passed, failed } = results(tap);
  const named = new Set(passed.flatMap((name) => name.split(/[^a-z0-9-]+/)));
  const [kind = ""] = mode.split("-");
  const wanted = cases.filter(({ only }) => only === undefined || only.includes(kind));
  const missing = wanted.filter(({ id }) => !named.has(id));
  if (failed.length > 0 || passed.length === 0) say(tap);
  for (const { id } of missing) say(`FAIL ${mode}: ${id}`);
  const seconds = Math.round((Date.now() - started) / 1000);
  const counts = `${wanted.length - missing.length} passed, ${missing.length} failed`;
  say(
    `stateful and http cases, ${mode}: ${counts}, ${cases.length - wanted.length} not for this mode (${seconds} s)`,
  );
  return missing.length === 0 && failed.length === 0;
}

const words = process.argv.slice(2);
const asked = words.filter((word) => word !== "--verbose");
const unknown = asked.find((mode) => MODES[mode] === undefined);
if (unknown !== undefined || process.getuid?.() !== 0) {
  const modes = Object.keys(MODES).join(", ");
  say(unknown === undefined ? "stateful cases make network namespaces: run them as root" : `modes: ${modes}`);
  process.exitCode = 2;
} else {
  const cases = readCases();
  const modes = asked.length === 0 ? Object.keys(MODES).filter((mode) => mode !== "ipvs") : asked;
  const done = await Promise.all(modes.map((mode) => play(mode, cases, asked.length < words.length)));
  process.exitCode = done.every(Boolean) ? 0 : 1;
}
