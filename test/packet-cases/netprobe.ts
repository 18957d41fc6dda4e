/** Packet cases: the tool native/build/netprobe, which listens and connects in many namespaces from one process. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import type { Protocol } from "./case-file.ts";

const TOOL = join(import.meta.dirname, "../../native/build/netprobe");

/** What became of each connection, with its number. */
export type Outcomes = Readonly<Record<string, number>>;

export interface ProbeOrder {
  readonly netns: string;
  readonly proto: Protocol;
  /** Source address; absent: the kernel chooses. */
  readonly source?: string;
  readonly destination: string;
  readonly port: number;
  readonly count: number;
  readonly timeoutMs: number;
}

/** What a web server said; status 0: nothing, and the body is the name of an error. */
export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

interface Reply extends Partial<HttpAnswer> {
  readonly ok?: boolean;
  readonly error?: string;
  readonly outcomes?: Outcomes;
}

export class NetProbe {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #waiting = new Map<string, { resolve: (reply: Reply) => void; reject: (error: Error) => void }>();
  #next = 0;

  constructor() {
    if (!existsSync(TOOL)) throw new Error(`${TOOL} is missing: run 'npm run build:native'`);
    this.#child = spawn(TOOL, [], { stdio: ["pipe", "pipe", "inherit"] });
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      const space = line.indexOf(" ");
      const waiting = this.#waiting.get(line.slice(0, space));
      this.#waiting.delete(line.slice(0, space));
      waiting?.resolve(JSON.parse(line.slice(space + 1)) as Reply);
    });
    this.#child.on("exit", () => {
      for (const { reject } of this.#waiting.values()) reject(new Error("netprobe has ended"));
      this.#waiting.clear();
    });
  }

  async #send(verb: string, ...words: readonly (string | number)[]): Promise<{ id: string; reply: Reply }> {
    const id = `c${++this.#next}`;
    const reply = await this.#command(id, verb, [id, ...words]);
    return { id, reply };
  }

  async #command(key: string, verb: string, words: readonly (string | number)[]): Promise<Reply> {
    const reply = await new Promise<Reply>((resolve, reject) => {
      this.#waiting.set(key, { resolve, reject });
      this.#child.stdin.write(`${[verb, ...words].join(" ")}\n`);
    });
    if (reply.error !== undefined) throw new Error(`${verb} ${words.slice(1).join(" ")}: ${reply.error}`);
    return reply;
  }

  /** Opens a listener that answers "LABEL OWN_IP:PORT PEER_IP". @returns what {@link close} wants */
  async listen(netns: string, proto: Protocol, ip: string, port: number, label: string): Promise<string> {
    return (await this.#send("listen", netns, proto, ip, port, label)).id;
  }

  async close(listener: string): Promise<void> {
    await this.#command(listener, "close", [listener]);
  }

  async probe(order: ProbeOrder): Promise<Outcomes> {
    const { netns, proto, source = "-", destination, port, count, timeoutMs } = order;
    const { reply } = await this.#send("probe", netns, proto, source, destination, port, count, timeoutMs);
    return reply.outcomes ?? {};
  }

  /** One request from a namespace. */
  async http(netns: string, url: URL, timeoutMs: number): Promise<HttpAnswer> {
    const { hostname, port, pathname } = url;
    const ip = hostname.replace(/^\[|\]$/g, "");
    const { reply } = await this.#send("http", netns, ip, port === "" ? 80 : port, pathname, timeoutMs);
    return { status: reply.status ?? 0, body: reply.body ?? "" };
  }

  /** Empties a namespace's table of connections. */
  async forgetConnections(netns: string): Promise<void> {
    await this.#send("forget", netns);
  }

  /** Ends the tool; its sockets go with it. */
  end(): void {
    this.#child.kill("SIGKILL");
  }
}
