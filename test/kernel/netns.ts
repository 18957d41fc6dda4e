/**
 * Network namespaces for tests. A `Namespaces` makes namespaces with a prefix of its own, runs commands in them and
 * removes all of it at the end, also when the test fails or the process is told to stop. `reexecuteInNamespace` runs a
 * whole test file in a fresh namespace, since a running Node cannot move into one.
 */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";

const MARK = "NODEPLANE_TEST_NAMESPACE";

/** True when this process was started by {@link reexecuteInNamespace}. */
export function insideNamespace(): boolean {
  return process.env[MARK] === "1";
}

/** Runs test file `file` in a fresh network namespace (loopback up). @throws with its output when it fails */
export function reexecuteInNamespace(file: string): void {
  const env: NodeJS.ProcessEnv = { ...process.env, [MARK]: "1" };
  delete env["NODE_TEST_CONTEXT"];
  const script = 'ip link set lo up && exec "$@"';
  const result = spawnSync("unshare", ["-n", "sh", "-c", script, "sh", process.execPath, file], {
    env,
    encoding: "utf8",
    maxBuffer: 64 << 20,
  });
  if (result.status !== 0)
    throw new Error(`${file} in a namespace failed:\n${result.stdout}\n${result.stderr}`);
}

export class Namespaces {
  /** Short enough that `prefix + role` fits an interface name of 15 bytes with six bytes for the role. */
  readonly prefix: string;
  readonly #names: string[] = [];
  readonly #children = new Set<ChildProcess>();
  readonly #stop = (): void => this.close();
  readonly #signal = (): void => process.exit(1);

  constructor(tag = "t") {
    this.prefix = `np${tag}${randomBytes(3).toString("hex")}`;
    process.on("exit", this.#stop);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, this.#signal);
  }

  /** Full name of the namespace with this role. */
  name(role: string): string {
    return `${this.prefix}-${role}`;
  }

  /** Makes namespaces, loopback up. */
  add(...roles: string[]): void {
    this.make(...roles);
    for (const role of roles) this.batch(["link set lo up"], role);
  }

  /** Makes namespaces, loopback down: for those who have more to run in each anyway. */
  make(...roles: string[]): void {
    for (const role of roles) this.#names.push(this.name(role));
    this.batch(roles.map((role) => `netns add ${this.name(role)}`));
  }

  /** Runs `ip` commands in one process, in the namespace of `role` or in none. @throws with the failing line */
  batch(lines: readonly string[], role?: string): void {
    if (lines.length === 0) return;
    const where = role === undefined ? [] : ["-n", this.name(role)];
    const result = spawnSync("ip", [...where, "-batch", "-"], {
      input: `${lines.join("\n")}\n`,
      encoding: "utf8",
    });
    if (result.status !== 0) throw new Error(`ip -batch in ${role ?? "(no namespace)"}: ${result.stderr}`);
  }

  /** Runs a command in a namespace. @returns its output @throws when it fails */
  run(role: string, command: string, ...args: string[]): string {
    return execFileSync("ip", ["netns", "exec", this.name(role), command, ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      maxBuffer: 256 << 20,
    });
  }

  /** Starts a command in a namespace; it is killed by {@link close}. */
  spawn(role: string, command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawn("ip", ["netns", "exec", this.name(role), command, ...args], options);
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return child;
  }

  /** Kills what was started here and removes the namespaces. Harmless when repeated. */
  close(): void {
    process.off("exit", this.#stop);
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(signal, this.#signal);
    for (const child of this.#children) child.kill("SIGKILL");
    this.#children.clear();
    if (this.#names.length > 0) {
      spawnSync("ip", ["-force", "-batch", "-"], {
        input: `${this.#names.map((name) => `netns del ${name}`).join("\n")}\n`,
      });
    }
    this.#names.length = 0;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
