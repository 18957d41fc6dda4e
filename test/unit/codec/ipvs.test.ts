/** IPVS messages: known bytes, round trips over all values, and damaged answers that end in one named error. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decodeDestination,
  decodeFamilyId,
  decodeInfo,
  decodeService,
  decodeTimeouts,
} from "../../../src/codec/netlink/ipvs/decode.ts";
import {
  encodeDestinationDump,
  encodeGetFamily,
  encodeIpvsOp,
  encodeServiceDump,
  encodeSetConfig,
} from "../../../src/codec/netlink/ipvs/encode.ts";
import { NetlinkMalformed, readMessages } from "../../../src/codec/netlink/reader.ts";
import { NetlinkWriter } from "../../../src/codec/netlink/writer.ts";
import { type IpAddress, ipFromBytes } from "../../../src/model/ip.ts";
import type { IpvsOp, IpvsService } from "../../../src/model/ipvs.ts";

function written(write: (writer: NetlinkWriter) => void): Uint8Array {
  const writer = new NetlinkWriter(64);
  write(writer);
  return writer.bytes.slice(0, writer.length);
}

/** The one message of a buffer. */
function only(bytes: Uint8Array) {
  const [message, ...others] = readMessages(bytes, bytes.length);
  assert.ok(message !== undefined && others.length === 0);
  return message;
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

const addressArbitrary = (family: "ip" | "ip6") =>
  fc.uint8Array({ minLength: family === "ip" ? 4 : 16, maxLength: family === "ip" ? 4 : 16 }).map((bytes) => {
    const address = ipFromBytes(bytes);
    assert.ok(address);
    return address;
  });
const portArbitrary = fc.integer({ min: 0, max: 65_535 });
const u32Arbitrary = fc.integer({ min: 0, max: 0xffff_ffff });
const serviceArbitrary: fc.Arbitrary<IpvsService> = fc
  .constantFrom("ip" as const, "ip6" as const)
  .chain((family) =>
    fc.record({
      family: fc.constant(family),
      protocol: fc.constantFrom(6, 17, 132),
      address: addressArbitrary(family),
      port: portArbitrary,
      scheduler: fc.stringMatching(/^[a-z]{1,15}$/),
      // Bit 1 is the kernel's own.
      flags: u32Arbitrary.map((flags) => (flags & ~2) >>> 0),
      timeoutSeconds: u32Arbitrary,
    }),
  );

test("a request to add a destination, byte by byte (linux/ip_vs.h)", () => {
  const op: IpvsOp = {
    op: "add-destination",
    service: { family: "ip", protocol: 6, address: "10.96.0.1" as IpAddress, port: 80 },
    destination: { address: "10.0.0.2" as IpAddress, port: 8080, weight: 3 },
  };
  const bytes = written((writer) => encodeIpvsOp(writer, 0x21, 7, op));
  const service = "30000100" + "06000100" + "02000000" + "06000200" + "06000000";
  const serviceAddress = `${"14000300"}0a600001${"00".repeat(12)}`;
  const destination = `40000200140001000a000002${"00".repeat(12)}060002001f900000`;
  const values =
    "08000300" + "00000000" + "08000400" + "03000000" + "08000500" + "00000000" + "08000600" + "00000000";
  assert.equal(
    hex(bytes),
    // Length, type, flags (request, acknowledge), sequence, port; command 5, version 1.
    `${"84000000"}21000500${"07000000"}00000000${"05010000"}` +
      service +
      serviceAddress +
      "06000400" +
      "00500000" +
      destination +
      values,
  );
});

test("law: a virtual server that is written is read", () => {
  fc.assert(
    fc.property(serviceArbitrary, u32Arbitrary, (service, sequence) => {
      const bytes = written((writer) => encodeIpvsOp(writer, 30, sequence, { op: "add-service", service }));
      const message = only(bytes);
      assert.equal(message.sequence, sequence);
      assert.deepEqual(decodeService(bytes, message.start, message.end)?.service, { ...service });
    }),
  );
});

test("law: a destination that is written is read", () => {
  fc.assert(
    fc.property(serviceArbitrary, portArbitrary, u32Arbitrary, (service, port, weight) => {
      const destination = { address: service.address, port, weight };
      const op: IpvsOp = { op: "set-destination", service, destination };
      const bytes = written((writer) => encodeIpvsOp(writer, 30, 1, op));
      const { start, end } = only(bytes);
      const {
        address,
        port: readPort,
        weight: readWeight,
        forwarding,
      } = decodeDestination(bytes, start, end, service.family);
      assert.deepEqual({ address, port: readPort, weight: readWeight }, destination);
      assert.equal(forwarding, "masquerade");
    }),
  );
});

test("timeouts, info and the family's number", () => {
  const timeouts = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 70_000 };
  const set = written((writer) => encodeSetConfig(writer, 30, 1, timeouts));
  assert.deepEqual(decodeTimeouts(set, only(set).start, only(set).end), timeouts);
  const info = Buffer.from("00000000" + "08000100" + "01020100" + "08000200" + "00100000", "hex");
  assert.deepEqual(decodeInfo(info, 0, info.length), { version: "1.2.1", connectionBuckets: 4096 });
  const family = Buffer.from("01020000" + "06000100" + "21000000", "hex");
  assert.equal(decodeFamilyId(family, 0, family.length), 0x21);
  assert.match(written((writer) => encodeGetFamily(writer, 1)).toString(), /73,80,86,83,0/);
});

test("64-bit statistics and connections of a destination", () => {
  const parts = [
    `140001000a000001${"00".repeat(12)}`,
    "06000200" + "00500000",
    "08000400" + "01000000",
    "08000700" + "05000000",
    "08000800" + "06000000",
    // Nest of 10,000,000,000 connections (0x2540be400).
    "10000c00" + "0c000100" + "00e40b5402000000",
  ].join("");
  const outer = (4 + parts.length / 2).toString(16).padStart(2, "0");
  const bytes = Buffer.from(`00000000${outer}000200${parts}`, "hex");
  const state = decodeDestination(bytes, 0, bytes.length, "ip");
  assert.equal(state.statistics.connections, 10_000_000_000);
  assert.deepEqual([state.activeConnections, state.inactiveConnections], [5, 6]);
});

test("a virtual server found by a mark is not ours", () => {
  const bytes = Buffer.from(`00000000${"14000100"}${"06000100"}02000000${"08000500"}07000000`, "hex");
  assert.equal(decodeService(bytes, 0, bytes.length), undefined);
});

test("law: a damaged answer ends in NetlinkMalformed or in a value, never in anything else", () => {
  const service = { family: "ip6", protocol: 17, address: "fd00::1" as IpAddress, port: 53 } as const;
  const good = [
    written((writer) => encodeIpvsOp(writer, 30, 1, { op: "delete-service", service })),
    written((writer) => encodeDestinationDump(writer, 30, 1, service)),
    written((writer) => encodeServiceDump(writer, 30, 1)),
  ];
  const decoders = [
    decodeFamilyId,
    decodeService,
    decodeTimeouts,
    decodeInfo,
    (buffer: Uint8Array, start: number, end: number) => decodeDestination(buffer, start, end, "ip6"),
  ];
  const damaged = fc.tuple(fc.constantFrom(...good), fc.nat(), fc.integer({ min: 0, max: 255 }), fc.nat());
  fc.assert(
    fc.property(damaged, fc.constantFrom(...decoders), ([message, at, value, cut], decode) => {
      const bytes = message.slice(0, message.length - (cut % message.length));
      if (bytes.length > 0) bytes[at % bytes.length] = value;
      try {
        decode(bytes, Math.min(16, bytes.length), bytes.length);
      } catch (error) {
        assert.ok(error instanceof NetlinkMalformed, String(error));
      }
    }),
    { numRuns: 500 },
  );
});
