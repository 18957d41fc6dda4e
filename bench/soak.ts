/**
 * `npm run soak -- dns [--minutes N] [--services N] [--endpoints M] [--json FILE]`: the resolver at full load, names of the
 * cluster, of an upstream and of its cache, while services change 100 times a second. Every answer for a service that
 * changes encodes the version of its change, which must have been valid at some moment between the query and the reply;
 * memory must not grow. Ends with status 1 when one of that is not so. Runs itself again inside a network namespace of its own.
 */
import { spawnSync } from "node:child_process";
import { appendFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { soak } from "./dns-soak.ts";

const INSIDE = "NODEPLANE_BENCH_NAMESPACE";
const MAX_MINUTES = 24 * 60;

function fail(text: string): never {
  process.stderr.write(`soak: ${text}\n`);
  process.exit(2);
}

function within(text: string, flag: string, most: number): number {
  const number = Number(text);
  if (!(number > 0 && number <= most)) fail(`${flag} ${text}: a number above 0 and up to ${most} is needed`);
  return number;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: "string", default: "10" },
    services: { type: "string", default: "1000" },
    endpoints: { type: "string", default: "10" },
    json: { type: "string" },
  },
});
if (positionals.length !== 1 || positionals[0] !== "dns")
  fail(`"${positionals.join(" ")}" is nothing to soak; there is dns`);
const minutes = within(values.minutes, "--minutes", MAX_MINUTES);
const services = Math.floor(within(values.services, "--services", 100_000));
const endpoints = Math.floor(within(values.endpoints, "--endpoints", 1_000));
if (process.env[INSIDE] === undefined) {
  const command = ["-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", process.execPath];
  const flags = ["--disable-warning=ExperimentalWarning", ...process.argv.slice(1)];
  const env = { ...process.env, [INSIDE]: "1" };
  process.exit(spawnSync("unshare", [...command, ...flags], { stdio: "inherit", env }).status ?? 1);
}
const { figures, problems } = await soak({ minutes, services, endpoints });
for (const figure of figures) {
  process.stdout.write(
    `${figure.figure.padEnd(28)} ${figure.value.toFixed(2).padStart(14)} ${figure.unit}\n`,
  );
  const line = { bench: "soak-dns", mode: "nftables", services, endpoints, ...figure, peer: null };
  if (values.json !== undefined) appendFileSync(values.json, `${JSON.stringify(line)}\n`);
}
for (const problem of problems) process.stdout.write(`PROBLEM ${problem}\n`);
process.exitCode = problems.length === 0 ? 0 : 1;
