/** Which rtnetlink notifications are worth a reading. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { matters } from "../../../src/codec/netlink/route/notification.ts";

function message(type: number, body: readonly number[]): Uint8Array {
  const length = 16 + body.length;
  return Uint8Array.from([length, 0, 0, 0, type, 0, 0, 0, ...Array<number>(8).fill(0), ...body]);
}

const address = (index: number) => message(20, [2, 32, 0, 0, index, 0, 0, 0]);
const route = (prefixBits: number) => message(24, [2, prefixBits, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0]);
const join = (...parts: readonly Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));

const rows: readonly (readonly [string, Uint8Array, boolean])[] = [
  ["a link", message(16, Array<number>(16).fill(0)), true],
  ["an address", address(3), true],
  ["an address of an ignored interface", address(7), false],
  ["a route to a network", route(24), false],
  ["a default route", route(0), true],
  ["one of two", join(address(7), address(3)), true],
  ["none of two", join(address(7), route(32)), false],
  ["a damaged datagram", Uint8Array.of(1, 2, 3), true],
  ["an address without an index", message(21, [2, 32]), true],
];

for (const [name, datagram, want] of rows)
  test(`notification: ${name}`, () => {
    assert.equal(matters(datagram, new Set([7])), want);
  });
