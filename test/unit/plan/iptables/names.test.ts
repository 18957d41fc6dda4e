/** Names of iptables chains against kube-proxy's own, and the hash against Node's. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { chainHash } from "../../../../src/plan/iptables/names.ts";
import { sha256 } from "../../../../src/plan/iptables/sha256.ts";
import { cidrsOfRange } from "../../../../src/plan/iptables/source-cidrs.ts";
import { rangeOfCidr } from "../../../../src/plan/ranges.ts";
import { mustCidr } from "../../../support/packet-cases.ts";

/** Facts of kube-proxy, section 2.1; the first two stand in published rule dumps as well. */
const vectors: readonly (readonly [string, string])[] = [
  ["ns1/svc1:p80tcp", "XPGD46QRK7WJZT7O"],
  ["ns2/svc2:p80tcp", "GNZBNJ2PO5MGZ6GT"],
  ["ns1/svc1tcp", "AQI2S6QIMU7PVVRP"],
  ["ns1/svc1:p80tcp10.180.0.1:80", "SXIVWICOYRO3J4NJ"],
  ["ns1/svc1:p80tcp[fd00:10:180::1]:80", "OGYCNMB4EMRUSJ6N"],
];
for (const [text, hash] of vectors)
  test(`hash of ${text}`, () => {
    assert.equal(chainHash(text), hash);
  });

test("SHA-256 of texts of every length up to three blocks", () => {
  for (let length = 0; length <= 190; length++) {
    const text = "aé€/:".repeat(40).slice(0, length);
    const words = [...sha256(text)].map((word) => (word >>> 0).toString(16).padStart(8, "0"));
    assert.equal(words.join(""), createHash("sha256").update(text).digest("hex"), text);
  }
});

const ranges: readonly { name: string; first: string; last: string; want: readonly string[] }[] = [
  { name: "one address", first: "10.0.0.1/32", last: "10.0.0.1/32", want: ["10.0.0.1/32"] },
  { name: "a whole range", first: "10.0.0.0/8", last: "10.0.0.0/8", want: ["10.0.0.0/8"] },
  { name: "everything", first: "0.0.0.0/0", last: "0.0.0.0/0", want: ["0.0.0.0/0"] },
  {
    name: "three neighbours",
    first: "10.0.1.0/24",
    last: "10.0.3.0/24",
    want: ["10.0.1.0/24", "10.0.2.0/23"],
  },
  { name: "IPv6", first: "fd00::/65", last: "fd00:0:0:0:8000::/65", want: ["fd00::/64"] },
];
for (const { name, first, last, want } of ranges)
  test(`CIDR ranges of ${name}`, () => {
    const range = { first: rangeOfCidr(mustCidr(first)).first, last: rangeOfCidr(mustCidr(last)).last };
    assert.deepEqual(cidrsOfRange(range), want);
  });
