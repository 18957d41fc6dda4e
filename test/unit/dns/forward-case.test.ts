/** Random letters in names that go upstream: sent, checked, given back, and left out for upstreams that cannot do it. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { createServer, type Socket } from "node:net";
import { suite, test } from "node:test";
import { decodeMessage } from "../../../src/codec/dns/decode.ts";
import { encodeMessage } from "../../../src/codec/dns/encode.ts";
import type { DnsMessage } from "../../../src/codec/dns/message.ts";
import { mixCase, unmixCase } from "../../../src/dns/plugins/forward/mixed-case.ts";
import { record } from "../../../src/dns/query.ts";
import { queryMessage } from "../../support/dns-query.ts";
import { framed, readFrames } from "../../support/dns-stream.ts";
import { listenOnBoth } from "../../support/listen-both.ts";
import { testResolver } from "./support.ts";

const NAME = "www.long-enough-name.example.org.";
const A = 1;
const address = (text: string) => ({ kind: "address", address: text as never }) as const;

type Answer = (query: DnsMessage, transport: "udp" | "tcp") => readonly DnsMessage[];

/** An upstream on loopback that says what the test wants, and what it was asked. */
async function upstream(answer: Answer) {
  const seen: string[] = [];
  const respond = (packet: Uint8Array, transport: "udp" | "tcp"): readonly Buffer[] => {
    const decoded = decodeMessage(packet);
    if (decoded.kind !== "message") return [];
    seen.push(`${transport} ${decoded.message.questions[0]?.name ?? ""}`);
    return answer(decoded.message, transport).map((message) => encodeMessage(message));
  };
  const udp = createSocket("udp4");
  udp.on("message", (packet, from) => {
    for (const reply of respond(packet, "udp")) udp.send(reply, from.port, from.address);
  });
  const sockets: Socket[] = [];
  const tcp = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    readFrames(socket, (message) => {
      for (const reply of respond(message, "tcp")) socket.write(framed(reply));
    });
  });
  const port = await listenOnBoth(udp, tcp);
  const close = (): void => {
    udp.close();
    tcp.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port, seen, close };
}

function reply(query: DnsMessage, name: string, ip: string): DnsMessage {
  const questions = query.questions.map((question) => ({ ...question, name }));
  const answers = [record(name, A, 60, address(ip))];
  return { ...query, isResponse: true, questions, answers };
}

const asked = (query: DnsMessage): string => query.questions[0]?.name ?? "";
const resolverTo = (port: number) => testResolver(`.:53 {\n forward . 127.0.0.1:${port}\n}\n`);

suite("mixing letters", () => {
  test("letters change their case only, by chance; names with escapes stay", () => {
    const mixed = Array.from({ length: 20 }, () => mixCase(NAME));
    assert.ok(mixed.every((name) => name.toLowerCase() === NAME));
    assert.equal(new Set(mixed).size, 20);
    assert.equal(mixCase("a\\.b.example."), "a\\.b.example.");
    assert.equal(mixCase("."), ".");
  });

  test("names of the reply get back what they share with the question, and no more", () => {
    const mixed = "WwW.eXaMpLe.oRg.";
    const message: DnsMessage = {
      ...queryMessage(mixed),
      answers: [
        record(mixed, 5, 60, { kind: "name", name: "Web.eXaMpLe.oRg." }),
        record("Web.eXaMpLe.oRg.", A, 60, address("192.0.2.1")),
        record("other.EXAMPLE.net.", 5, 60, { kind: "name", name: "xeXaMpLe.oRg." }),
      ],
    };
    const { questions, answers } = unmixCase(message, mixed, "www.example.Org.");
    assert.equal(questions[0]?.name, "www.example.Org.");
    assert.deepEqual(
      answers.map(({ name, data }) => [name, data.kind === "name" ? data.name : ""]),
      [
        ["www.example.Org.", "Web.example.Org."],
        ["Web.example.Org.", ""],
        ["other.EXAMPLE.net.", "xeXaMpLe.Org."],
      ],
    );
  });
});

suite("upstreams", () => {
  test("one that copies the question is asked in other letters each time; the client sees its own", async () => {
    const server = await upstream((query) => [reply(query, asked(query), "192.0.2.1")]);
    const resolver = resolverTo(server.port);
    for (let i = 0; i < 5; i++) {
      const message = await resolver.ask(NAME);
      assert.equal(message.answers[0]?.name, NAME);
    }
    server.close();
    assert.equal(new Set(server.seen).size, 5);
    assert.ok(server.seen.every((text) => text.toLowerCase() === `udp ${NAME}`));
  });

  test("one that writes names in lower case is found out over TCP and then asked as the client wrote", async () => {
    const server = await upstream((query) => [reply(query, asked(query).toLowerCase(), "192.0.2.2")]);
    const resolver = resolverTo(server.port);
    const name = "WWW.example.Org.";
    for (let i = 0; i < 3; i++) assert.equal((await resolver.ask(name)).answers.length, 1);
    server.close();
    assert.deepEqual(
      server.seen.map((text) => text.slice(0, 3)),
      ["udp", "tcp", "udp", "udp"],
    );
    assert.equal(server.seen[2], `udp ${name}`);
  });

  test("a forged reply with the right identifier is not believed: TCP answers, and letters go on being mixed", async () => {
    const server = await upstream((query, transport) => {
      const forged = reply(query, asked(query).toLowerCase(), "203.0.113.66");
      const honest = reply(query, asked(query), "192.0.2.3");
      return transport === "udp" ? [forged, honest] : [honest];
    });
    const resolver = resolverTo(server.port);
    for (let i = 0; i < 3; i++) {
      const { answers } = await resolver.ask(NAME);
      assert.deepEqual(answers[0]?.data, address("192.0.2.3"));
    }
    server.close();
    assert.equal(server.seen.filter((text) => text.startsWith("tcp")).length, 3);
  });
});
