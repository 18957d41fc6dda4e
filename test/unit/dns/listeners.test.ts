/** Sockets with limits, on loopback: order of replies, half-closed clients, clients that trickle, flood or do not read. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { TCP_LIMITS, type TcpLimits } from "../../../src/dns/server/tcp-limits.ts";
import { TcpListener } from "../../../src/dns/server/tcp-listener.ts";
import { type Respond, UdpListener } from "../../../src/dns/server/udp-listener.ts";
import { until } from "../../support/until.ts";

/** Octet 0 of a packet decides: 0 at once, 1 after 50 ms, 2 never a reply; the packet itself is the reply. */
const respond: Respond = (packet) => {
  const bytes = Buffer.from(packet);
  if (bytes[0] === 0) return bytes;
  if (bytes[0] === 2) return undefined;
  return new Promise((resolve) => setTimeout(() => resolve(bytes), 50));
};

async function withTcp(
  limits: Partial<TcpLimits>,
  body: (port: number, listener: TcpListener) => Promise<void>,
) {
  const listener = new TcpListener(respond, { ...TCP_LIMITS, ...limits });
  try {
    await body(await listener.open("127.0.0.1", 0), listener);
  } finally {
    listener.close();
  }
}

function frame(...octets: readonly number[]): Buffer {
  return Buffer.of(0, octets.length, ...octets);
}

/** @returns second octets of the replies until the server closes */
function talk(port: number, send: (socket: Socket) => void): Promise<readonly number[]> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    let buffer: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      buffer = Buffer.concat([buffer, chunk]);
    });
    socket.on("error", () => undefined);
    socket.on("end", () => socket.destroy());
    socket.on("close", () => {
      const seen: number[] = [];
      for (let at = 0; at + 2 < buffer.length; at += 2 + buffer.readUInt16BE(at))
        seen.push(buffer[at + 3] ?? -1);
      resolve(seen);
    });
    socket.on("connect", () => send(socket));
  });
}

test("replies come as they are ready, also to a client that has closed its side", async () => {
  await withTcp({}, async (port) => {
    const seen = await talk(port, (socket) =>
      socket.end(Buffer.concat([frame(1, 1), frame(0, 2), frame(1, 3)])),
    );
    assert.deepEqual(seen, [2, 1, 3]);
  });
});

test("queries above the pipeline's limit wait and are answered", async () => {
  await withTcp({ maxPipelined: 2 }, async (port, listener) => {
    const talking = talk(port, (socket) => {
      socket.write(Buffer.concat([1, 2, 3, 4, 5].map((i) => frame(1, i))));
      setTimeout(() => socket.end(), 400);
    });
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(listener.pending, 2);
    assert.deepEqual(await talking, [1, 2, 3, 4, 5]);
  });
});

test("what deserves no reply closes the connection", async () => {
  await withTcp({}, async (port) => {
    assert.deepEqual(
      await talk(port, (socket) => socket.write(Buffer.concat([frame(0, 1), frame(2, 2)]))),
      [1],
    );
  });
});

test("octets that trickle in do not prolong the wait for a query; an idle connection ends", async () => {
  await withTcp({ readTimeoutMs: 150, idleTimeoutMs: 100 }, async (port) => {
    const start = performance.now();
    await talk(port, (socket) => {
      socket.write(Buffer.of(0, 200));
      const timer = setInterval(() => socket.write(Buffer.of(0)), 20);
      socket.once("close", () => clearInterval(timer));
    });
    assert.ok(performance.now() - start < 1_500);
    await talk(port, () => undefined);
  });
});

test("connections of one client are limited", async () => {
  await withTcp({ maxConnectionsPerClient: 2, idleTimeoutMs: 300 }, async (port) => {
    const ask = (socket: Socket): void => void socket.write(frame(0, 7));
    const seen = await Promise.all([talk(port, ask), talk(port, ask), talk(port, ask)]);
    assert.equal(seen.filter((replies) => replies.length === 1).length, 2);
  });
});

test("a connection is closed after so many queries", async () => {
  await withTcp({ maxQueries: 2 }, async (port) => {
    assert.deepEqual(
      await talk(port, (socket) => socket.write(Buffer.concat([1, 2, 3].map((i) => frame(0, i))))),
      [1, 2],
    );
  });
});

test("UDP: queries of one client that wait are limited, those answered at once are not", async () => {
  const listener = new UdpListener(respond, { maxPending: 100, maxPendingPerClient: 3 });
  const port = await listener.open("127.0.0.1", 0);
  const socket = createSocket("udp4");
  const seen: number[] = [];
  socket.on("message", (reply) => seen.push(reply[1] ?? -1));
  try {
    for (let i = 0; i < 6; i++) socket.send(Buffer.of(1, i), port, "127.0.0.1");
    await until(() => listener.dropped === 3);
    await until(() => seen.length === 3 && listener.pending === 0);
    for (let i = 10; i < 15; i++) socket.send(Buffer.of(0, i), port, "127.0.0.1");
    await until(() => seen.length === 8);
  } finally {
    socket.close();
    listener.close();
  }
});
