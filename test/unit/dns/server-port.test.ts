/** The port of a server whose Corefile leaves it to the system (`:0`): one for TCP and UDP both. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { suite, test } from "node:test";
import { DnsEngine } from "../../../src/dns/engine/engine.ts";
import { DnsServer } from "../../../src/dns/server/dns-server.ts";
import { buildInstance } from "../../../src/dns/server/instance.ts";
import { FakeUdpEngine } from "../../../src/drivers/udp-engine/fake.ts";
import { freePort } from "../../support/free-port.ts";
import { parse, testRuntime } from "./support.ts";

/** UDP sockets can be had from the given attempt on. */
class TakenUdp extends FakeUdpEngine {
  readonly asked: number[] = [];
  readonly #freeAttempt: number;

  constructor(freeAttempt: number) {
    super(Date.now, () => undefined);
    this.#freeAttempt = freeAttempt;
  }

  override listen(_id?: number, _host?: string, port = 0): void {
    this.asked.push(port);
    if (this.asked.length >= this.#freeAttempt) return;
    throw Object.assign(new Error("bind EADDRINUSE"), { syscall: "bind", code: "EADDRINUSE", errno: -98 });
  }
}

/** @returns ports that were tried for UDP */
async function start(
  port: number,
  freeAttempt: number,
): Promise<{ asked: readonly number[]; address: string }> {
  const runtime = testRuntime();
  const taken = new TakenUdp(freeAttempt);
  const server = new DnsServer(runtime, new DnsEngine(taken, runtime));
  const corefile = parse(`.:${port} {\n bind 127.0.0.1\n whoami\n}\n`);
  try {
    await server.apply(buildInstance(corefile, runtime, { defaultPort: 53, isStopping: () => false }));
    const address = server.addresses()[0] ?? "";
    const socket = connect(Number(/:(\d+)$/.exec(address)?.[1]), "127.0.0.1");
    await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    socket.destroy();
    return { asked: taken.asked, address };
  } finally {
    await server.stop();
  }
}

suite("the port is left to the system", () => {
  test("where UDP has it in use, both move to another one", async () => {
    const { asked, address } = await start(0, 3);
    assert.equal(new Set(asked).size, 3);
    assert.equal(address, `dns://127.0.0.1:${asked[2]}`);
  });

  test("an end comes", async () => {
    await assert.rejects(start(0, 100), /dns:\/\/127\.0\.0\.1:0: cannot listen: bind EADDRINUSE/);
  });
});

test("a port that is named is tried once", async () => {
  const port = await freePort();
  await assert.rejects(
    start(port, 2),
    new RegExp(`dns://127\\.0\\.0\\.1:${port}: cannot listen: bind EADDRINUSE`),
  );
});
