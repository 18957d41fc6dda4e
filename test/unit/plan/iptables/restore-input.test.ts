/** Inputs of iptables-restore: order, whose lines they are, and what they count. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RestoreWriter } from "../../../../src/plan/iptables/restore-input.ts";

/** Lines as `owner: line`. */
function owned(writer: RestoreWriter): readonly string[] {
  const input = writer.finish();
  const lines = [...input.lines];
  assert.deepEqual([...input.lines], lines, "can be read again");
  assert.equal(input.size.lines, lines.length);
  assert.equal(input.ownerOf(lines.length + 1), undefined);
  return lines.map((line, i) => `${input.ownerOf(i + 1) ?? "-"}: ${line}`);
}

test("every line has its owner, and what is streamed stands between declarations and rules", () => {
  const writer = new RestoreWriter();
  writer.declare("nat", "KUBE-SERVICES");
  writer.add("nat", ["-A KUBE-MARK -j MARK"]);
  writer.add("nat", ["-A KUBE-SERVICES -j KUBE-SVC-A"], "a");
  writer.add("nat", ["-A KUBE-SERVICES -j KUBE-SVC-B"], "b");
  writer.add("nat", ["-A KUBE-SERVICES -j KUBE-SVC-B2"], "b");
  writer.remove("nat", "KUBE-SVC-OLD");
  writer.add("filter", ["-I INPUT 1 -j KUBE-SERVICES"]);
  writer.stream("nat", () => [
    { key: "a", lines: [":KUBE-SVC-A - [0:0]", "-A KUBE-SVC-A -j DNAT"], rules: 1 },
    { key: "none", lines: [], rules: 0 },
    { key: "b", lines: [":KUBE-SVC-B - [0:0]"], rules: 0 },
  ]);
  assert.deepEqual(owned(writer), [
    "-: *filter",
    "-: -I INPUT 1 -j KUBE-SERVICES",
    "-: COMMIT",
    "-: *nat",
    "-: :KUBE-SERVICES - [0:0]",
    "-: :KUBE-SVC-OLD - [0:0]",
    "a: :KUBE-SVC-A - [0:0]",
    "a: -A KUBE-SVC-A -j DNAT",
    "b: :KUBE-SVC-B - [0:0]",
    "-: -A KUBE-MARK -j MARK",
    "a: -A KUBE-SERVICES -j KUBE-SVC-A",
    "b: -A KUBE-SERVICES -j KUBE-SVC-B",
    "b: -A KUBE-SERVICES -j KUBE-SVC-B2",
    "-: -X KUBE-SVC-OLD",
    "-: COMMIT",
  ]);
  const input = writer.finish();
  assert.equal([...input.lines].length, 15);
  assert.deepEqual({ ...input.size.rules }, { filter: 0, nat: 5, mangle: 0 });
});

test("a table without a line is not named", () => {
  const writer = new RestoreWriter();
  writer.stream("nat", () => [{ key: "a", lines: [], rules: 0 }]);
  assert.deepEqual(owned(writer), []);
});

test("lines are worked out when they are asked for, and no sooner", () => {
  let rendered = 0;
  const writer = new RestoreWriter();
  writer.stream("nat", function* () {
    for (; rendered < 10; rendered++) yield { key: "a", lines: [`:C${rendered} - [0:0]`], rules: 0 };
  });
  const lines = writer.finish().lines[Symbol.iterator]();
  assert.equal(rendered, 0);
  for (let i = 0; i < 3; i++) lines.next();
  assert.equal(rendered, 1, "the table, two lines, and nothing ahead");
});
