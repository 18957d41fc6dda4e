/**
 * Test tool, run inside a namespace: flows that last. Prints one line an event until it is killed.
 *   udp SOURCE|- DESTINATION PORT   sends every 50 ms from one socket; "answer TEXT", "error CODE"
 *   sink ADDRESS PORT               takes datagrams and answers none; "got"
 *   tcp DESTINATION PORT            one connection, a line every 50 ms; "answer TEXT", "error CODE", "closed"
 *   echo ADDRESS PORT               TCP, sends back what comes
 */
import { createSocket } from "node:dgram";
import { connect, createServer, isIPv6 } from "node:net";

const PERIOD_MS = 50;
const [verb = "", ...words] = process.argv.slice(2);

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function codeOf(error: Error): string {
  return `error ${"code" in error ? String(error.code) : error.message}`;
}

function udp(source: string, destination: string, port: number): void {
  const socket = createSocket(isIPv6(destination) ? "udp6" : "udp4");
  socket.on("error", (error) => say(codeOf(error)));
  socket.on("message", (text) => say(`answer ${text.toString()}`));
  const start = (): void =>
    socket.connect(port, destination, () => {
      say("open");
      setInterval(
        () => socket.send("x", (error) => (error === null ? undefined : say(codeOf(error)))),
        PERIOD_MS,
      );
    });
  if (source === "-") start();
  else socket.bind(0, source, start);
}

function sink(address: string, port: number): void {
  const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
  socket.on("message", () => say("got"));
  socket.bind(port, address, () => say("open"));
}

function tcp(destination: string, port: number): void {
  const socket = connect({ host: destination, port });
  socket.on("error", (error) => say(codeOf(error)));
  socket.on("close", () => say("closed"));
  socket.on("data", (text) => say(`answer ${text.toString().trim().split("\n").at(-1) ?? ""}`));
  socket.on("connect", () => {
    say("open");
    let n = 0;
    setInterval(() => socket.write(`${n++}\n`), PERIOD_MS);
  });
}

function echo(address: string, port: number): void {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.pipe(socket);
  });
  server.listen(port, address, () => say("open"));
}

const [first = "", second = "", third = ""] = words;
if (verb === "udp") udp(first, second, Number(third));
else if (verb === "sink") sink(first, Number(second));
else if (verb === "tcp") tcp(first, Number(second));
else if (verb === "echo") echo(first, Number(second));
else throw new Error(`unknown command ${verb}`);
