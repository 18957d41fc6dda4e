/** Ports for programs that tests start: outside of what the system hands out, free for UDP and TCP, never one twice. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { suite, test } from "node:test";
import { drawPort, endOfDraw, freePort, type PortDraw, withFreePort } from "../../support/free-port.ts";

/** Draws these ports, then the last one again and again. */
function sequence(ports: readonly number[], drawn = new Set<number>()): PortDraw {
  let next = 0;
  const random = (): number => (ports[Math.min(next++, ports.length - 1)] ?? 0) / 65_536 + 1e-9;
  return { lowest: 0, end: 65_536, random, drawn };
}

suite("a free port", () => {
  test("below the system's own range, a hundred times another one, and it can be listened on", async () => {
    const lowest = Number(readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").split(/\s+/)[0]);
    const ports = new Set<number>();
    for (let i = 0; i < 100; i++) ports.add(await freePort());
    assert.equal(ports.size, 100);
    if (lowest >= 20_000)
      assert.deepEqual(
        [...ports].filter((port) => port < 10_300 || port >= lowest),
        [],
      );
    const server = createServer();
    const [port] = ports;
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, resolve));
    server.close();
  });

  for (const [name, range, end] of [
    ["Linux's default", "32768\t60999\n", 32_768],
    ["a range that starts late", "49152 65535\n", 49_152],
    ["a range that leaves no room below", "1024\t65535\n", 32_768],
    ["a range that leaves hardly any room", "11000\t65535\n", 32_768],
  ] as const)
    test(`where drawing ends: ${name}`, () => assert.equal(endOfDraw(range), end));

  test("one in use is passed over, whichever protocol and address has it", async () => {
    const udp = createSocket("udp4");
    const taken = await freePort();
    await new Promise<void>((resolve) => udp.bind(taken, "127.0.0.1", resolve));
    const tcp = createServer();
    const other = await freePort();
    await new Promise<void>((resolve) => tcp.listen(other, "127.0.0.1", resolve));
    try {
      const free = await freePort();
      assert.equal(await drawPort(sequence([taken, other, free])), free);
    } finally {
      udp.close();
      tcp.close();
    }
  });

  test("what was drawn is not drawn again; an end comes when all were", async () => {
    const a = await freePort();
    await assert.rejects(
      drawPort(sequence([a], new Set([a]))),
      /no free port from \d+ to \d+ in 200 attempts/,
    );
  });
});

suite("a start on a free port", () => {
  test("once more on another port when the first was taken", async () => {
    const seen: number[] = [];
    const started = await withFreePort(async (port) => {
      seen.push(port);
      if (seen.length === 1) throw new Error("dns://:1: cannot listen: bind EADDRINUSE");
      return port;
    });
    assert.deepEqual([seen.length, new Set(seen).size, seen[1]], [2, 2, started]);
  });

  test("not a third time, and not for another failure", async () => {
    let calls = 0;
    const failing = (message: string) => async (): Promise<never> => {
      calls++;
      throw new Error(message);
    };
    await assert.rejects(withFreePort(failing("EADDRINUSE")), /EADDRINUSE/);
    assert.equal(calls, 2);
    await assert.rejects(withFreePort(failing("EACCES")), /EACCES/);
    assert.equal(calls, 3);
  });
});
