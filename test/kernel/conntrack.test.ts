/** The conntrack driver on real UDP flows in a namespace of its own, and the one in memory beside it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { suite, test } from "node:test";
import type { ConntrackDriver, Flow } from "../../src/drivers/conntrack/index.ts";
import { FakeConntrack, LinuxConntrack } from "../../src/drivers/conntrack/index.ts";
import { ipToBytes } from "../../src/model/ip.ts";
import { mustIp } from "../support/packet-cases.ts";
import { insideNamespace, reexecuteInNamespace } from "./netns.ts";

const UDP = 17;

interface Case {
  readonly driver: ConntrackDriver;
  /** Makes a flow from port `from` to port `to` of the loopback address. */
  flow(family: "ip" | "ip6", from: number, to: number): Promise<void>;
  end(): void;
}

/** Loopback traffic is only tracked where a rule asks for it. */
function track(): void {
  const rules = (["ip", "ip6"] as const)
    .map(
      (family) =>
        `table ${family} track { chain out { type filter hook output priority 0\nct state new accept\n}\n}`,
    )
    .join("\n");
  execFileSync("nft", ["-f", "-"], { input: rules });
}

function linux(): Case {
  const sockets: Socket[] = [];
  return {
    driver: new LinuxConntrack(),
    flow: async (family, from, to) => {
      const socket = createSocket(family === "ip" ? "udp4" : "udp6");
      const address = family === "ip" ? "127.0.0.1" : "::1";
      socket.bind(from, address);
      await once(socket, "listening");
      socket.on("error", () => {});
      sockets.push(socket);
      await new Promise<void>((resolve) => void socket.send("x", to, address, () => resolve()));
    },
    end: () => {
      for (const socket of sockets) socket.close();
    },
  };
}

function fake(): Case {
  const driver = new FakeConntrack();
  let id = 1;
  return {
    driver,
    flow: async (family, from, to) => {
      const address = ipToBytes(mustIp(family === "ip" ? "127.0.0.1" : "::1"));
      const one = { source: address, destination: address, protocol: UDP };
      driver.flows.add({
        family,
        original: { ...one, sourcePort: from, destinationPort: to },
        reply: { ...one, sourcePort: to, destinationPort: from },
        status: 0,
        id: id++,
        zone: 0,
      });
    },
    end: () => {},
  };
}

function conformance(name: string, open: () => Case): void {
  suite(`conntrack driver: ${name}`, () => {
    const made = open();
    const { driver } = made;
    const ports = async (family: "ip" | "ip6", protocol = UDP) =>
      (await driver.find(family, protocol, () => true)).map((f) => f.original.destinationPort).sort();

    test("finds the flows of one family and protocol", async () => {
      for (const [from, to] of [
        [2001, 3001],
        [2002, 3002],
        [2003, 3003],
      ] as const)
        await made.flow("ip", from, to);
      await made.flow("ip6", 2001, 3006);
      assert.deepEqual(await ports("ip"), [3001, 3002, 3003]);
      assert.deepEqual(await ports("ip6"), [3006]);
      assert.deepEqual(await ports("ip", 6), []);
      const [one] = await driver.find("ip", UDP, (flow) => flow.original.sourcePort === 2002);
      assert.equal(one?.reply.sourcePort, 3002);
      assert.deepEqual([...(one?.original.destination ?? [])], [127, 0, 0, 1]);
    });

    test("deletes exactly what it is given; twice is no error", async () => {
      const victims = await driver.find("ip", UDP, (flow) => flow.original.destinationPort === 3002);
      assert.equal(await driver.delete(victims), 1);
      assert.equal(await driver.delete(victims), 0);
      assert.equal(await driver.delete([]), 0);
      assert.deepEqual(await ports("ip"), [3001, 3003]);
      assert.deepEqual(await ports("ip6"), [3006]);
    });

    test("an entry made anew with the same tuple stays", async () => {
      const old = await driver.find("ip", UDP, (flow) => flow.original.destinationPort === 3001);
      assert.equal(old.length, 1);
      const other = old.map((flow): Flow => ({ ...flow, id: flow.id + 1 }));
      assert.equal(await driver.delete(other), 0);
      assert.deepEqual(await ports("ip"), [3001, 3003]);
    });

    test("a tuple that is not complete is refused, and the table stays", async () => {
      const [one] = await driver.find("ip", UDP, () => true);
      assert.ok(one !== undefined);
      const empty: Flow = { ...one, original: { ...one.original, destination: new Uint8Array() } };
      await assert.rejects(driver.delete([empty]), { name: "FlowNotExact" });
      assert.deepEqual(await ports("ip"), [3001, 3003]);
    });

    test("many flows in one dump, deleted in several requests", async () => {
      for (let n = 0; n < 700; n++) await made.flow("ip", 10_000 + n, 4000);
      const found = await driver.find("ip", UDP, (flow) => flow.original.destinationPort === 4000);
      assert.equal(found.length, 700);
      assert.equal(await driver.delete(found), 700);
      assert.deepEqual(await ports("ip"), [3001, 3003]);
      driver.close();
      made.end();
    });
  });
}

if (insideNamespace()) {
  track();
  conformance("kernel", linux);
} else {
  conformance("memory", fake);
  test("the same in the kernel", () => reexecuteInNamespace(import.meta.filename));
}
