/** Rules as we write them, beside what iptables-save (1.8.9, both variants) says of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalRule, sameRules } from "../../../../src/plan/iptables/canonical-rule.ts";

const SAME: readonly (readonly [string, string])[] = [
  [
    '-m comment --comment "ns1/svc1:p80 has no endpoints" -m tcp -p tcp -d 172.30.0.41 --dport 80 -j REJECT',
    '-d 172.30.0.41/32 -p tcp -m comment --comment "ns1/svc1:p80 has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable',
  ],
  ["-m mark ! --mark 0x00004000/0x00004000 -j RETURN", "-m mark ! --mark 0x4000/0x4000 -j RETURN"],
  ["-j MARK --or-mark 0x00004000", "-j MARK --set-xmark 0x4000/0x4000"],
  ["-j MARK --xor-mark 0x00004000", "-j MARK --set-xmark 0x4000/0x0"],
  [
    '-m comment --comment "a/b cluster IP" -m tcp -p tcp -d fd00::41 --dport 80 ! -s fd00:1::/56 -j KUBE-MARK-MASQ',
    '! -s fd00:1::/56 -d fd00::41/128 -p tcp -m comment --comment "a/b cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ',
  ],
  ['-m comment --comment "x" -s 10.0.0.1 -j A', "-s 10.0.0.1/32 -m comment --comment x -j A"],
  [
    "-m recent --name KUBE-SEP-A --rcheck --seconds 10 --reap -j KUBE-SEP-A",
    "-m recent --rcheck --seconds 10 --reap --name KUBE-SEP-A --mask 255.255.255.255 --rsource -j KUBE-SEP-A",
  ],
  [
    "-m statistic --mode random --probability 0.3333333333 -j A",
    "-m statistic --mode random --probability 0.33333333349 -j A",
  ],
];

const DIFFERENT: readonly (readonly [string, string])[] = [
  ["-s 10.0.0.1 -j A", "! -s 10.0.0.1/32 -j A"],
  ["-s 10.0.0.1 -j A", "-d 10.0.0.1/32 -j A"],
  ["-s 10.0.0.0/8 -j A", "-s 10.0.0.0/9 -j A"],
  ["-j REJECT", "-j REJECT --reject-with tcp-reset"],
  ["-j MARK --or-mark 0x4000", "-j MARK --set-xmark 0x4000/0x0"],
  ["-j MASQUERADE --random-fully", "-j MASQUERADE"],
  [
    "-m statistic --mode random --probability 0.3333333333 -j A",
    "-m statistic --mode random --probability 0.5 -j A",
  ],
  ["-m recent --name A --set -j B", "-m recent --set --name A --mask 255.255.255.0 --rsource -j B"],
  ['-m comment --comment "-j A" -j B', '-m comment --comment "-j B" -j A'],
];

test("what was written and what is saved of it are one rule", () => {
  for (const [written, saved] of SAME) assert.equal(canonicalRule(saved), canonicalRule(written), saved);
});

test("rules that do something else differ", () => {
  for (const [one, other] of DIFFERENT) assert.notEqual(canonicalRule(one), canonicalRule(other), other);
});

test("a chain is the same with the same rules in the same order", () => {
  const [a, b] = ["-j A", "-j B"];
  assert.ok(sameRules([a, b], [a, b]));
  assert.ok(sameRules(undefined, []));
  assert.ok(!sameRules([a, b], [b, a]));
  assert.ok(!sameRules([a], [a, b]));
  assert.ok(!sameRules(undefined, [a]));
});
