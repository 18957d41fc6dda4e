/** The packet-case runner itself: right expectations pass, each kind of wrong one fails, unknown keys are refused. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { parse } from "yaml";
import { readCaseFile } from "../packet-cases/case-file.ts";

const MAIN = join(import.meta.dirname, "../packet-cases/main.ts");
const CASES = join(import.meta.dirname, "../cases/packet-cases.yaml");

interface Entry {
  readonly id: string;
  readonly fixture: string;
  readonly packet: Readonly<Record<string, unknown>>;
  expect: Record<string, unknown>;
}
interface File {
  cases: Entry[];
  fixtures: Record<string, { services: Record<string, unknown>[] }>;
}

function caseFile(t: TestContext, change: (file: File) => void): string {
  const folder = mkdtempSync(join(tmpdir(), "nodeplane-runner-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = parse(readFileSync(CASES, "utf8")) as File & { stateful?: unknown; http?: unknown };
  delete file.stateful;
  delete file.http;
  change(file);
  const path = join(folder, "cases.yaml");
  writeFileSync(path, JSON.stringify(file));
  return path;
}

function run(...args: readonly string[]): {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
} {
  const result = spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8" });
  return { status: result.status, out: result.stdout, err: result.stderr };
}

function namespaces(): string {
  return spawnSync("ip", ["netns", "list"], { encoding: "utf8" })
    .stdout.split("\n")
    .filter((name) => name.startsWith("npp"))
    .join();
}

/** One case for each kind of result; all share few fixtures, so that they play fast. */
const IDS = [
  "cip-multi-ep",
  "cip-hairpin",
  "cip-sameport-sctp",
  "cip-unallocated",
  "cip-wrong-port",
  "np-lo-off",
  "np6-alt-excluded",
];

/** Wrong expectations, each for a case that really ends otherwise. */
const WRONG: readonly (readonly [string, Record<string, unknown>])[] = [
  ["cip-multi-ep", { result: "BACKENDS", backends: ["10.180.0.1:80"], masq: false }],
  ["cip-multi-ep", { result: "BACKENDS", backends: ["10.180.0.1:80", "10.180.2.1:80", "10.180.0.1:81"] }],
  ["cip-multi-ep", { result: "BACKENDS", backends: ["10.180.0.1:80", "10.180.2.1:80"], masq: true }],
  ["cip-hairpin", { result: "BACKENDS", backends: ["10.180.0.1:80"], masq: false }],
  ["cip-sameport-sctp", { result: "REJECT" }],
  ["cip-simple", { result: "DROP" }],
  ["cip-simple", { result: "NONE" }],
  ["cip-unallocated", { result: "REJECT" }],
  ["cip-unallocated", { result: "NONE" }],
  ["cip-wrong-port", { result: "DROP" }],
  ["cip-wrong-port", { result: "NONE" }],
  ["cip-icmp", { result: "NONE" }],
  ["np-lo-off", { result: "REJECT" }],
  ["np-lo-off", { result: "DROP" }],
];

test("right expectations pass and nothing is left behind", (t) => {
  const before = namespaces();
  const path = caseFile(t, (file) => {
    file.cases = file.cases.filter((item) => IDS.includes(item.id));
  });
  const { status, out, err } = run(path);
  assert.equal(status, 0, `${out}${err}`);
  assert.match(out, new RegExp(`^${IDS.length} passed, 0 failed$`, "m"));
  assert.equal(namespaces(), before);
});

test("every wrong expectation fails and is shown with what was seen", (t) => {
  const path = caseFile(t, (file) => {
    file.cases = WRONG.map(([id, expect], index) => {
      const entry = file.cases.find((item) => item.id === id);
      assert.ok(entry !== undefined, id);
      return {
        id: `wrong-${index}`,
        fixture: entry.fixture,
        packet: entry.packet,
        expect,
        ...configOf(entry),
      };
    });
  });
  const { status, out, err } = run(path);
  assert.equal(status, 1, `${out}${err}`);
  assert.match(out, new RegExp(`^0 passed, ${WRONG.length} failed$`, "m"), out);
  for (const index of WRONG.keys())
    assert.match(out, new RegExp(`^FAIL wrong-${index}\\n {2}expected .*\\n {2}seen `, "m"));
});

/** Ten cases of all results with the expectation that each gets instead of its own. */
const FLIPPED: Readonly<Record<string, Record<string, unknown>>> = {
  "cip-hairpin": { result: "BACKENDS", backends: ["10.180.0.1:80"], masq: false },
  "cip-multi-ep": { result: "BACKENDS", backends: ["10.180.2.1:80"], masq: false },
  "cip-sameport-udp": { result: "REJECT" },
  "noep-cip-node": { result: "NONE" },
  "noep-np-ext": { result: "DROP" },
  "lbr-blocked-lb1": { result: "REJECT" },
  "lbr-ext-lb1": { result: "DROP" },
  "lbr-otherport": { result: "DROP" },
  "etpln-ext-lb": { result: "BACKENDS", backends: ["10.180.1.1:80"], masq: false },
  "ipmode-proxy-node": { result: "REJECT" },
};

test("of a copy with ten flipped expectations exactly those ten fail", (t) => {
  let others = 0;
  const path = caseFile(t, (file) => {
    const isFlipped = ({ id }: Entry): boolean => FLIPPED[id] !== undefined;
    const fixtures = new Set(file.cases.filter(isFlipped).map(({ fixture }) => fixture));
    file.cases = file.cases.filter((item) => fixtures.has(item.fixture) && !("config" in item));
    others = file.cases.filter((item) => !isFlipped(item)).length;
    for (const item of file.cases.filter(isFlipped)) {
      assert.notDeepEqual(item.expect, FLIPPED[item.id]);
      item.expect = FLIPPED[item.id] ?? {};
    }
  });
  const { status, out, err } = run(path);
  assert.equal(status, 1, `${out}${err}`);
  const failed = [...out.matchAll(/^FAIL (\S+)$/gm)].map(([, id = ""]) => id);
  assert.deepEqual(failed.sort(), Object.keys(FLIPPED).sort(), out);
  assert.ok(others > 10);
  assert.match(out, new RegExp(`^${others} passed, 10 failed$`, "m"));
});

function configOf(entry: Entry): { config?: unknown } {
  return "config" in entry ? { config: entry["config"] } : {};
}

test("a file that says what the format does not know is refused with its place", (t) => {
  const first = (change: (entry: Record<string, unknown>) => void): string =>
    caseFile(t, (file) => change(file.cases[0] as unknown as Record<string, unknown>));
  const bad: readonly (readonly [string, RegExp])[] = [
    [first((entry) => (entry["expected"] = {})), /cases\[0\]: unknown key "expected"/],
    [first((entry) => (entry["expect"] = { result: "BACKEND" })), /expect\.result: must be one of BACKENDS/],
    [first((entry) => (entry["expect"] = { result: "BACKENDS" })), /backends belong to BACKENDS/],
    [first((entry) => (entry["fixture"] = "absent")), /there is no fixture "absent"/],
    [first((entry) => (entry["config"] = { masquerade: true })), /config: unknown key "masquerade"/],
    [
      first((entry) => (entry["packet"] = { from: "moon", dst: "1.2.3.4", proto: "TCP", port: 80 })),
      /packet\.from/,
    ],
    [caseFile(t, (file) => file.cases.push(...file.cases.slice(0, 1))), /two cases have the id "cip-simple"/],
    [
      caseFile(t, (file) => {
        const service = file.fixtures["general"]?.services[0];
        if (service !== undefined) service["sessionAfinity"] = "None";
      }),
      /fixtures\.general\.services\[0\]: unknown key "sessionAfinity"/,
    ],
  ];
  for (const [path, message] of bad) assert.throws(() => readCaseFile(path, "nftables"), message);
  const [refused] = bad[0] ?? [];
  const { status, err } = run(refused ?? "");
  assert.equal(status, 2);
  assert.match(err, /^packet-cases: .*cases\[0\]: unknown key "expected"/);
  assert.equal(run("/nonexistent/cases.yaml").status, 2);
  assert.equal(run(CASES, "--mode", "ebpf").status, 2);
  assert.equal(run(CASES, "--only", "no-such-case").status, 2);
});
