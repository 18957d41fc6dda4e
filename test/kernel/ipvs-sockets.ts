/** Test code. Servers in pods that tell their name for each line, and a client that holds many connections to a service. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { PATIENCE } from "../support/patience.ts";
import type { Namespaces } from "./netns.ts";

const SERVER = `require("net").createServer((s) => s.on("error", () => {}).on("data", () => s.write(process.argv[1] + "\\n")))
.listen({ port: 8080, host: "0.0.0.0", backlog: 2000 }, () => console.log("up"))`;

/** Commands on standard input, one answer a line: how often each name (or error) came. */
const CLIENT = `
const net = require("net");
const [host, patience] = process.argv.slice(1);
let held = [];
const ask = (s) => new Promise((resolve) => {
  const end = (text) => { clearTimeout(timer); s.removeAllListeners(); s.on("error", () => {}); resolve(text); };
  const timer = setTimeout(() => end("silence"), Number(patience) * 60000);
  s.once("data", (d) => end(String(d).trim())).once("error", (e) => end(e.code)).once("close", () => end("closed"));
  s.write("x\\n");
});
const count = (names) => names.reduce((all, name) => ({ ...all, [name]: (all[name] ?? 0) + 1 }), {});
const dial = async (n) => {
  const names = [], sockets = [];
  for (let i = 0; i < n; i += 50) {
    const some = Array.from({ length: Math.min(50, n - i) }, () => net.connect({ host, port: 80 }));
    names.push(...(await Promise.all(some.map(ask))));
    sockets.push(...some);
  }
  return { names, sockets };
};
const commands = {
  open: async (n) => { const { names, sockets } = await dial(n); held.push(...sockets); return names; },
  fresh: async (n) => { const { names, sockets } = await dial(n); for (const s of sockets) s.resetAndDestroy(); return names; },
  exchange: () => Promise.all(held.map(ask)),
  reset: async () => { for (const s of held) s.resetAndDestroy(); held = []; return []; },
};
console.log("up");
require("readline").createInterface({ input: process.stdin }).on("line", async (line) => {
  const [name, n] = line.split(" ");
  console.log(JSON.stringify(count(await commands[name](Number(n)))));
});`;

/** Starts the server of a pod, which answers with the pod's name. */
export async function startServer(spaces: Namespaces, pod: string): Promise<void> {
  const child = spaces.spawn(pod, process.execPath, ["-e", SERVER, pod], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (child.stdout !== null) await once(child.stdout, "data");
}

/** How often each pod answered; errors by their code. */
export type Answers = Readonly<Record<string, number>>;

export class SocketClient {
  readonly #child: ChildProcess;
  readonly #lines: Interface;

  private constructor(child: ChildProcess, lines: Interface) {
    this.#child = child;
    this.#lines = lines;
  }

  /** A client in the namespace of `role` for port 80 of `host`. */
  static async start(spaces: Namespaces, role: string, host: string): Promise<SocketClient> {
    const child = spaces.spawn(role, process.execPath, ["-e", CLIENT, host, String(PATIENCE)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    if (child.stdout === null) throw new Error("no pipe");
    const lines = createInterface({ input: child.stdout });
    await once(lines, "line");
    return new SocketClient(child, lines);
  }

  /** Opens connections, asks each once and holds them. */
  open(count: number): Promise<Answers> {
    return this.#ask(`open ${count}`);
  }

  /** Opens connections, asks each once and resets them. */
  fresh(count: number): Promise<Answers> {
    return this.#ask(`fresh ${count}`);
  }

  /** Asks every connection that is held. */
  exchange(): Promise<Answers> {
    return this.#ask("exchange");
  }

  /** Resets every connection that is held. */
  async reset(): Promise<void> {
    await this.#ask("reset");
  }

  async #ask(command: string): Promise<Answers> {
    const answer = once(this.#lines, "line");
    this.#child.stdin?.write(`${command}\n`);
    const line = String((await answer).at(0));
    return JSON.parse(line) as Answers;
  }
}
