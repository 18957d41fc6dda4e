/** The IPv6 twins of the packet cases: the map of addresses, and that every IPv4 case has a twin or a reason. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { cidrContains } from "../../src/model/ip.ts";
import { readCaseFile } from "../packet-cases/case-file.ts";
import { twinAddress, twinRange, twinsOf } from "../packet-cases/twins.ts";
import { mustCidr, mustIp } from "../support/packet-cases.ts";

const FILE = join(import.meta.dirname, "../cases/packet-cases.yaml");

test("an address lies in a range if and only if its twin lies in the range's twin", () => {
  const octet = fc.integer({ min: 1, max: 223 }).filter((n) => n !== 127);
  const address = fc.tuple(octet, octet, octet, octet).map((parts) => parts.join("."));
  fc.assert(
    fc.property(address, address, fc.integer({ min: 1, max: 32 }), (one, other, bits) => {
      for (const ip of [one, other]) {
        const range = mustCidr(`${one}/${bits}`);
        const twin = mustCidr(twinRange(`${one}/${bits}`));
        assert.equal(cidrContains(twin, mustIp(twinAddress(ip))), cidrContains(range, mustIp(ip)));
      }
    }),
  );
  assert.equal(twinRange(" 203.0.113.0/25").startsWith(" fd04:"), true, "blanks are part of some cases");
  assert.equal(twinRange("0.0.0.0/0"), "::/0");
});

test("every IPv4 case has a twin of its own, or a reason why not", () => {
  for (const mode of ["nftables", "iptables"] as const) {
    const file = readCaseFile(FILE, mode);
    const { file: twins, without } = twinsOf(file);
    const v4 = file.cases.filter(({ packet }) => !packet.dst.includes(":"));
    assert.equal(twins.cases.length + without.length, v4.length);
    assert.ok(without.length < 8, without.map(({ id }) => id).join(", "));
    for (const item of twins.cases) {
      const original = file.cases.find(({ id }) => `${id}-v6` === item.id);
      assert.ok(original !== undefined && item.packet.dst.includes(":"));
      assert.equal(item.expect?.result, original.expect?.result);
      assert.equal(item.expect?.backends.length, original.expect?.backends.length);
      const source = item.packet.src ?? twins.topology.addresses[item.packet.from];
      assert.ok(source?.includes(":"), `${item.id} is sent from ${source}`);
      const text = JSON.stringify([item.packet, item.expect, twins.fixtures.get(item.fixture)]);
      assert.doesNotMatch(text, /\b\d+\.\d+\.\d+\.\d+\b/, item.id);
    }
  }
});
