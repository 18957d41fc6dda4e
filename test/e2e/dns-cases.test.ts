/** The case runner itself: it passes what is right, fails what is not, and refuses what it does not know. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

const root = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "nodeplane-dns-cases-"));
after(() => rmSync(folder, { recursive: true, force: true }));

interface Case {
  readonly name: string;
  readonly rcode: string;
  readonly answer: readonly { readonly data: string; readonly ttl: number; readonly name: string }[];
  readonly opts?: unknown;
}

const cases = JSON.parse(readFileSync(join(root, "test/cases/dns-cases.json"), "utf8")) as readonly Case[];
const plain = cases.filter((entry) => entry.opts === undefined);

function play(list: readonly unknown[]): { readonly status: number | null; readonly out: string } {
  const path = join(folder, "cases.json");
  writeFileSync(path, JSON.stringify(list));
  const fixture = join(root, "test/cases/dns-fixture.yaml");
  const argv = [join(root, "test/dns-cases/main.ts"), "--fixture", fixture, "--cases", path];
  const result = spawnSync(process.execPath, argv, { encoding: "utf8", timeout: 550_000 });
  return { status: result.status, out: result.stdout + result.stderr };
}

test("ten flipped expectations are ten failures", () => {
  const flipped = plain.filter((entry) => entry.rcode === "NOERROR" && entry.answer.length > 0).slice(0, 8);
  const changed = flipped.map((entry, i) => {
    const [first, ...rest] = entry.answer;
    if (first === undefined) return entry;
    const wrong = [{ ttl: first.ttl + 1 }, { data: "10.0.0.99" }, { name: first.name.toUpperCase() }][i % 3];
    return { ...entry, answer: [{ ...first, ...wrong }, ...rest] };
  });
  const missing = plain.filter((entry) => entry.rcode === "NXDOMAIN").slice(0, 2);
  const list = [
    ...changed,
    ...missing.map((entry) => ({ ...entry, rcode: "NOERROR" })),
    ...plain.slice(100, 110),
  ];
  const { status, out } = play(list);
  assert.match(out, /10 passed, 10 failed\n$/);
  assert.equal(status, 1);
});

test("flags, sizes and silence are compared", () => {
  const [entry] = plain.filter(({ name }) => name === "clusterip-a-web");
  const { out } = play([
    { ...entry, name: "aa", flags: { aa: false } },
    { ...entry, name: "size", max_size: 20, opts: { transport: "udp" } },
    { ...entry, name: "silence", rcode: "NONE" },
    { ...entry, name: "authority", authority: [{ name: "x.", type: "A", ttl: 1, data: "10.0.0.1" }] },
  ]);
  assert.match(out, /0 passed, 4 failed\n$/);
});

test("unknown keys are errors, not passed over", () => {
  const [entry] = plain;
  for (const bad of [
    { ...entry, anwser: [] },
    { ...entry, opts: { tll: 3 } },
    { ...entry, flags: { zz: true } },
  ]) {
    const { status, out } = play([bad]);
    assert.equal(status, 2);
    assert.match(out, /unknown key/);
  }
});

test("no cases are a failure", () => assert.equal(play([]).status, 1));

test("cases of others: what the engine leaves to the chain passes, options of TCP are no difference", () => {
  const [entry] = plain.filter(({ name }) => name === "clusterip-a-web");
  const option = (code: number, hex: string) => ({ edns: { size: 1232, options: [{ code, hex }] } });
  const { out } = play([
    { ...entry, name: "cookie", opts: option(10, "0102030405060708") },
    { ...entry, name: "keepalive", opts: option(11, "") },
  ]);
  assert.match(out, /2 passed, 0 failed\n$/);
});
