/** The tracers of the random walks themselves: what they find, and that they refuse what they do not know. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Trace } from "../../walk/branches.ts";
import { KernelRules } from "../../walk/kernel.ts";
import type { Packet } from "../../walk/oracle.ts";
import { Random } from "../../walk/random.ts";

const NODE = ["192.168.0.2"];
const packet: Packet = {
  from: "pod",
  device: "pod",
  family: "ip",
  source: "10.244.0.2",
  destination: "10.96.0.1",
  protocol: "TCP",
  port: 80,
};

function shares({ endpoints }: Trace): Record<string, number> {
  return Object.fromEntries([...endpoints].map(([text, { share }]) => [text, Number(share.toFixed(4))]));
}

const saddr = { payload: { protocol: "ip", field: "saddr" } };
const daddr = { payload: { protocol: "ip", field: "daddr" } };
const dport = { payload: { protocol: "th", field: "dport" } };
const random = (mod: number) => ({ numgen: { mode: "random", mod, offset: 0 } });
const slot = (mod: number) => ({
  dnat: { family: "ip", addr: { map: { key: { concat: [daddr, dport, random(mod)] }, data: "@slots" } } },
});

/** A listing with one table whose nat-prerouting has these rules. */
function nftables(rules: readonly (readonly unknown[])[], slots: readonly string[] = []): KernelRules {
  const at = { family: "ip", table: "nodeplane" };
  const chain = {
    ...at,
    name: "nat-prerouting",
    type: "nat",
    hook: "prerouting",
    prio: -100,
    policy: "accept",
  };
  const elem = slots.map((address, i) => [{ concat: ["10.96.0.1", 80, i] }, { concat: [address, 8080] }]);
  const objects = [
    { metainfo: {} },
    { table: { family: "ip", name: "nodeplane" } },
    { chain },
    { map: { ...at, name: "slots", type: [], map: "", elem } },
    ...rules.map((expr) => ({ rule: { ...at, chain: "nat-prerouting", expr } })),
  ];
  return new KernelRules("nftables", [JSON.stringify({ nftables: objects })], NODE);
}

function iptables(nat: readonly string[]): KernelRules {
  const text = ["*nat", ":PREROUTING ACCEPT [0:0]", ":X - [0:0]", ...nat, "COMMIT"].join("\n");
  return new KernelRules("iptables", [text, ""], NODE);
}

describe("nftables", () => {
  test("a miss goes to the next rule: three slots in four, then in two, then the first", () => {
    const rules = nftables([[slot(4)], [slot(2)]], ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    assert.deepEqual(shares(rules.trace(packet)), {
      "10.0.0.1:8080": 0.375,
      "10.0.0.2:8080": 0.375,
      "10.0.0.3:8080": 0.25,
    });
  });

  test("a packet that no rule leads anywhere is nobody's", () => {
    assert.deepEqual([...nftables([]).trace(packet).verdicts], [["NONE", 1]]);
  });

  const unknown: readonly (readonly [string, readonly unknown[]])[] = [
    ["statement", [{ tproxy: { port: 1 } }]],
    [
      "field",
      [
        { match: { op: "==", left: { payload: { protocol: "ip", field: "ttl" } }, right: 1 } },
        { drop: null },
      ],
    ],
    ["operator", [{ match: { op: "<", left: saddr, right: "10.0.0.0" } }, { drop: null }]],
    ["set", [{ match: { op: "==", left: saddr, right: "@nowhere" } }, { drop: null }]],
    ["chain", [{ jump: { target: "nowhere" } }]],
    [
      "kind of chance",
      [{ match: { op: "==", left: { numgen: { mode: "inc", mod: 2, offset: 0 } }, right: 0 } }],
    ],
  ];
  for (const [what, rule] of unknown)
    test(`refuses a ${what} that it does not know`, () => {
      assert.throws(() => nftables([rule]).trace(packet), { name: "UnknownRule" });
    });
});

describe("iptables", () => {
  test("probabilities multiply, and what is left goes on", () => {
    const rules = iptables([
      "-A PREROUTING -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j X",
      "-A X -p tcp -m statistic --mode random --probability 0.25000000000 -j DNAT --to-destination 10.0.0.1:8080",
      "-A X -p tcp -m statistic --mode random --probability 0.50000000000 -j DNAT --to-destination 10.0.0.2:8080",
      '-A X ! -s 10.244.0.0/16 -m comment --comment "not -j for us" -j RETURN',
      "-A X -p tcp -j DNAT --to-destination 10.0.0.3:8080",
    ]);
    assert.deepEqual(shares(rules.trace(packet)), {
      "10.0.0.1:8080": 0.25,
      "10.0.0.2:8080": 0.375,
      "10.0.0.3:8080": 0.375,
    });
  });

  const unknown: readonly (readonly [string, string])[] = [
    ["module", "-A PREROUTING -m length --length 40 -j X"],
    ["target", "-A PREROUTING -j REDIRECT --to-ports 80"],
    ["chain", "-A PREROUTING -j NOWHERE"],
    ["option", "-A PREROUTING -p tcp -m tcp --tcp-flags SYN SYN -j X"],
    ["address type", "-A PREROUTING -m addrtype --dst-type BROADCAST -j X"],
    ["policy", ":OUTPUT DROP [0:0]"],
  ];
  for (const [what, line] of unknown)
    test(`refuses a ${what} that it does not know`, () => {
      assert.throws(() => iptables([line]).trace(packet), { name: "UnknownRule" });
    });
});

test("a seed brings the same numbers again, another does not", () => {
  const draw = (seed: number) => {
    const made = new Random(seed);
    return Array.from({ length: 20 }, () => made.below(1000));
  };
  assert.deepEqual(draw(1), draw(1));
  assert.notDeepEqual(draw(1), draw(2));
});
