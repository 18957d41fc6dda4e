/** Test code. The drivers of nf_tables that conformance tests run against, and small helpers for them. */
import assert from "node:assert/strict";
import { suite, type TestContext, test } from "node:test";
import { FakeNft, FakeNftKernel, LinuxNft, type NftDriver } from "../../src/drivers/nftables/index.ts";
import type { NftElements, NftOp, NftTable } from "../../src/model/nftables.ts";
import { insideNamespace, reexecuteInNamespace } from "./netns.ts";
import { index32, LAYOUTS, type Layout, pack, port, tcp } from "./nft-fixture.ts";

export interface Backend {
  readonly name: string;
  /** A driver and another one of the same namespace. */
  open(table: NftTable): readonly [NftDriver, NftDriver];
}

const BACKENDS: readonly Backend[] = [
  {
    name: "fake",
    open: (table) => {
      const kernel = new FakeNftKernel();
      return [new FakeNft(table, kernel), new FakeNft(table, kernel)];
    },
  },
  { name: "linux", open: (table) => [new LinuxNft(table), new LinuxNft(table)] },
];

let tables = 0;

export function open(t: TestContext, backend: Backend, layout: Layout): readonly [NftDriver, NftDriver] {
  const drivers = backend.open({ family: layout.family, name: `nodeplane_${++tables}` });
  t.after(() => {
    drivers[0].commit([{ op: "add-table" }, { op: "delete-table" }]);
    for (const driver of drivers) driver.close();
  });
  return drivers;
}

export function committed(driver: NftDriver, ops: readonly NftOp[]): void {
  assert.deepEqual(driver.commit(ops), { kind: "committed" });
}

/** Failures as `operation:element code`, in order of operation. */
export function failures(driver: NftDriver, ops: readonly NftOp[]): readonly string[] {
  const outcome = driver.commit(ops);
  assert.equal(outcome.kind, "failed");
  if (outcome.kind !== "failed") return [];
  return outcome.failures
    .toSorted((a, b) => a.opIndex - b.opIndex)
    .map((f) => `${f.opIndex}${f.elementIndex === undefined ? "" : `:${f.elementIndex}`} ${f.code}`);
}

/** Elements as sorted texts, so that the order of a hash table does not matter. */
export function elementTexts(elements: NftElements): readonly string[] {
  const width = (bytes: Uint8Array): number => bytes.length / Math.max(1, elements.count);
  const part = (bytes: Uint8Array | undefined, at: number): string =>
    bytes === undefined
      ? ""
      : Buffer.from(bytes.slice(at * width(bytes), (at + 1) * width(bytes))).toString("hex");
  return Array.from({ length: elements.count }, (_, at) =>
    [
      part(elements.keys, at),
      part(elements.keyEnds, at),
      part(elements.data, at),
      JSON.stringify(elements.verdicts?.[at]),
    ].join(" "),
  ).sort();
}

export const HEAD: readonly NftOp[] = [{ op: "add-table" }];

export function slots(layout: Layout, count: number, endpointPort: number): NftElements {
  return pack(
    Array.from({ length: count }, (_, at) => [
      ...layout.address(96, at >> 2),
      ...tcp(80),
      ...index32(at & 3),
    ]),
    Array.from({ length: count }, (_, at) => [...layout.address(1, at), ...port(endpointPort)]),
  );
}
/** Runs `cases` on every backend and family; in a namespace of its own. */
export function conformance(
  what: string,
  file: string,
  cases: (backend: Backend, layout: Layout) => void,
): void {
  if (!insideNamespace()) {
    test(`${what} in a namespace`, () => reexecuteInNamespace(file));
    return;
  }
  for (const backend of BACKENDS) {
    for (const layout of LAYOUTS)
      suite(`${what}: ${backend.name} ${layout.family}`, () => cases(backend, layout));
  }
}
