/**
 * A machine of its own for tests of names: a network namespace with addresses on its loopback and a mount namespace whose
 * `/etc` holds only what the test gives; on a wire a neighbour at 192.0.2.53, where upstreams run. It ends with
 * {@link NameMachine.close}; nothing is left on the real machine. Needs root.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const root = join(import.meta.dirname, "../../..");
/** The neighbour's address, and ours on the wire to it. */
export const NEIGHBOUR = "192.0.2.53";
const OWN = "192.0.2.1";
const START_TIMEOUT_MS = 120_000;
const RUN_TIMEOUT_MS = 60_000;

export interface Daemon {
  readonly log: () => string;
  readonly pid: number;
  signal(signal: NodeJS.Signals): void;
  /** @returns the exit status, `null` after a signal that ended it */
  readonly exited: Promise<number | null>;
}

export class NameMachine {
  /** Seen inside as `/etc`. */
  readonly etc: string;
  /** For files; has the same path inside. */
  readonly folder: string;
  readonly #holder: ChildProcess;
  #neighbour: Daemon | undefined;
  readonly #daemons: Daemon[] = [];

  private constructor(folder: string, holder: ChildProcess) {
    this.folder = folder;
    this.etc = join(folder, "etc");
    this.#holder = holder;
  }

  /** @param files content below `/etc`, by path */
  static async open(
    addresses: readonly string[],
    files: Readonly<Record<string, string>>,
  ): Promise<NameMachine> {
    const folder = mkdtempSync(join(tmpdir(), "nodeplane-names-"));
    const script = [
      "set -e",
      "ip link set lo up",
      ...addresses.map((address) => `ip addr add ${address} dev lo${address.includes(":") ? " nodad" : ""}`),
      `mount --bind ${join(folder, "etc")} /etc`,
      "echo open",
      "exec sleep 100000",
    ].join("\n");
    const base = {
      hosts: "127.0.0.1 localhost\n",
      passwd: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
      group: "root:x:0:\nnogroup:x:65534:\n",
      "nsswitch.conf": "hosts: files dns\n",
    };
    for (const [path, text] of Object.entries({ ...base, ...files })) {
      write(join(folder, "etc", path), text);
    }
    const holder = spawn("unshare", ["-n", "-m", "sh", "-c", script], { stdio: ["ignore", "pipe", "pipe"] });
    let complaint = "";
    holder.stderr.setEncoding("utf8").on("data", (text: string) => {
      complaint += text;
    });
    await new Promise<void>((resolve, reject) => {
      holder.stdout.once("data", () => resolve());
      holder.once("exit", () => reject(new Error(`no machine for names: ${complaint}`)));
    });
    const machine = new NameMachine(folder, holder);
    try {
      await machine.#wire();
    } catch (error) {
      await machine.close();
      throw error;
    }
    return machine;
  }

  async #wire(): Promise<void> {
    const neighbour = this.spawn("unshare", "-n", "sh", "-c", "echo open; exec sleep 100000");
    await until(() => neighbour.log().includes("open"), neighbour);
    const there = `nsenter -t ${neighbour.pid} -n ip`;
    const steps = [
      `ip link add w0 type veth peer name w1 netns ${neighbour.pid}`,
      `ip addr add ${OWN}/24 dev w0`,
      "ip link set w0 up",
      `${there} addr add ${NEIGHBOUR}/24 dev w1`,
      `${there} link set w1 up`,
      `${there} link set lo up`,
    ];
    const { status, err } = await this.run("sh", "-e", "-c", steps.join("\n"));
    if (status !== 0) throw new Error(`no wire: ${err}`);
    this.#neighbour = neighbour;
  }

  /** Writes a file below `/etc`. */
  put(path: string, text: string): void {
    write(join(this.etc, path), text);
  }

  #enter(argv: readonly string[]): readonly string[] {
    // The root too: this may be a chroot, which entering a mount namespace would leave.
    return ["-t", String(this.#holder.pid), "-n", "-m", "--root", "--wdns=/", ...argv];
  }

  /** Runs a command inside. @returns what it wrote, with its exit status */
  run(
    ...argv: readonly string[]
  ): Promise<{ readonly out: string; readonly err: string; readonly status: number }> {
    return new Promise((resolve) => {
      const options = { encoding: "utf8", timeout: RUN_TIMEOUT_MS } as const;
      execFile("nsenter", [...this.#enter(argv)], options, (error, out, err) => {
        resolve({ out, err, status: error === null ? 0 : typeof error.code === "number" ? error.code : -1 });
      });
    });
  }

  async dig(server: string, ...args: readonly string[]): Promise<string> {
    return (await this.run("dig", `@${server}`, "+tries=2", "+time=3", ...args)).out;
  }

  /** Runs the program that follows in the neighbour's network. */
  get there(): readonly string[] {
    return ["nsenter", "-t", String(this.#neighbour?.pid), "-n"];
  }

  /** Starts a program that stays; it is killed with the machine. */
  spawn(...argv: readonly string[]): Daemon {
    const { NODE_EXTRA_CA_CERTS, ...env } = process.env;
    void NODE_EXTRA_CA_CERTS;
    const child = spawn("nsenter", [...this.#enter(argv)], { stdio: ["ignore", "pipe", "pipe"], env });
    let log = "";
    const keep = (text: string): void => {
      log += text;
    };
    child.stdout.setEncoding("utf8").on("data", keep);
    child.stderr.setEncoding("utf8").on("data", keep);
    const daemon: Daemon = {
      log: () => log,
      pid: child.pid ?? 0,
      signal: (signal) => void child.kill(signal),
      exited: new Promise((resolve) => child.once("exit", (code) => resolve(code))),
    };
    this.#daemons.push(daemon);
    return daemon;
  }

  /** The resolver with a Corefile given as text, once it says that it is ready. */
  resolver(corefile: string, ...flags: readonly string[]): Promise<Daemon> {
    return this.#resolve([], corefile, flags);
  }

  resolverThere(corefile: string, ...flags: readonly string[]): Promise<Daemon> {
    return this.#resolve(this.there, corefile, flags);
  }

  async #resolve(where: readonly string[], corefile: string, flags: readonly string[]): Promise<Daemon> {
    const path = join(this.folder, `Corefile-${this.#daemons.length}`);
    write(path, corefile);
    const node = [process.execPath, "--disable-warning=ExperimentalWarning"];
    const program = [...where, ...node, join(root, "src/bin/nodeplane.ts"), "dns"];
    const daemon = this.spawn(...program, "-conf", path, ...flags);
    await until(() => daemon.log().includes('"msg":"ready"'), daemon);
    return daemon;
  }

  /** Debian's unbound at the neighbour, with the lines given in its `server:` section. */
  async unbound(lines: readonly string[]): Promise<Daemon> {
    const path = join(this.folder, `unbound-${this.#daemons.length}.conf`);
    const head = [
      'username: ""',
      'chroot: ""',
      'pidfile: ""',
      'directory: ""',
      "use-syslog: no",
      "do-daemonize: no",
    ];
    const more = ['module-config: "iterator"', "verbosity: 1", "access-control: 0.0.0.0/0 allow"];
    const text = [...head, ...more, `interface: ${NEIGHBOUR}`, ...lines]
      .map((line) => `  ${line}\n`)
      .join("");
    write(path, `server:\n${text}remote-control:\n  control-enable: no\n`);
    const daemon = this.spawn(...this.there, "unbound", "-d", "-c", path);
    await until(() => daemon.log().includes("start of service"), daemon);
    return daemon;
  }

  /** @throws when it does not come true in time */
  async until(isTrue: () => Promise<boolean>): Promise<void> {
    const end = performance.now() + START_TIMEOUT_MS;
    while (!(await isTrue())) {
      if (performance.now() > end) {
        throw new Error(`it did not happen:\n${this.#daemons.map((daemon) => daemon.log()).join("\n")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Ends all that was started inside, then the machine. */
  async close(): Promise<void> {
    for (const daemon of this.#daemons) daemon.signal("SIGKILL");
    await Promise.all(this.#daemons.map((daemon) => daemon.exited));
    const gone = new Promise((resolve) => this.#holder.once("exit", resolve));
    this.#holder.kill("SIGKILL");
    await gone;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

export const hasProgram = (name: string): boolean =>
  spawnSync("sh", ["-c", `command -v ${name} || test -x /usr/sbin/${name}`]).status === 0;

async function until(isTrue: () => boolean, daemon: Daemon): Promise<void> {
  let isGone = false;
  void daemon.exited.then(() => {
    isGone = true;
  });
  const end = performance.now() + START_TIMEOUT_MS;
  while (!isTrue()) {
    if (isGone || performance.now() > end) throw new Error(`it did not start:\n${daemon.log()}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}
