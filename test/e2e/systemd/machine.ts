/**
 * A small machine with a systemd of its own, for tests of units (see machine.sh). Leaves nothing behind: the processes end
 * with their namespace, the files lie on a tmpfs in it, and the cgroup is removed.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

export const REPOSITORY = join(import.meta.dirname, "../../..");
/** Drop-in of a unit here, where no boot brings mounts, a journal or a network. @param more of `[Service]` */
export function dropIn(unit: string, more = ""): string {
  const log = `file:/tmp/${unit}.log`;
  return `[Unit]\nDefaultDependencies=no\n[Service]\nStandardOutput=${log}\nStandardError=${log}\n${more}`;
}

const SYSTEMD = "/lib/systemd/systemd";
const BOOTED = /^(starting|running|degraded)$/;

export class SystemdMachine {
  readonly #folder = mkdtempSync(join(tmpdir(), "nodeplane-systemd-"));
  readonly #cgroup = `nodeplane-test-${randomBytes(4).toString("hex")}`;
  readonly #kill = (): void => this.#stop();
  #process: ChildProcess | undefined;
  #pid = 0;

  constructor() {
    if (!existsSync(SYSTEMD)) throw new Error(`${SYSTEMD} is missing: install the Debian package systemd`);
    mkdirSync(join(this.#folder, "disk"));
    this.write("systemd/system/nodeplane-test.target", "[Unit]\nDefaultDependencies=no\n");
    process.on("exit", this.#kill);
  }

  /** Puts a file below /etc of the machine; before {@link boot}. */
  write(path: string, text: string): void {
    const full = join(this.#folder, "etc", path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, text);
  }

  /** Installs a unit of the repository; before {@link boot}. */
  install(unit: string): void {
    mkdirSync(join(this.#folder, "etc/systemd/system"), { recursive: true });
    copyFileSync(join(REPOSITORY, "systemd", unit), join(this.#folder, "etc/systemd/system", unit));
  }

  /** Starts it and waits until its systemd answers. */
  async boot(): Promise<void> {
    const script = join(import.meta.dirname, "machine.sh");
    const argv = ["--mount", "sh", script, this.#folder, REPOSITORY, this.#cgroup];
    this.#process = spawn("unshare", argv, { stdio: ["ignore", "ignore", "pipe"] });
    let stderr = "";
    this.#process.stderr?.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    for (let i = 0; i < 200; i++) {
      await delay(50);
      if (this.#process.exitCode !== null) break;
      this.#pid = childOf(this.#process.pid ?? 0);
      if (this.#pid > 0 && BOOTED.test(this.try("systemctl", "is-system-running").stdout)) return;
    }
    throw new Error(`the machine did not boot: ${stderr}`);
  }

  /** Runs a command in the machine. @returns its trimmed output @throws when it fails */
  run(command: string, ...args: string[]): string {
    return execFileSync("nsenter", this.#enter(command, args), { encoding: "utf8", timeout: 20_000 }).trim();
  }

  /** Runs a command that may fail. */
  try(command: string, ...args: string[]): { readonly status: number | null; readonly stdout: string } {
    const { status, stdout } = spawnSync("nsenter", this.#enter(command, args), {
      encoding: "utf8",
      timeout: 20_000,
    });
    return { status, stdout: (stdout ?? "").trim() };
  }

  /** `active`, `activating`, `failed` … */
  state(unit: string): string {
    return this.run("systemctl", "show", "--property=ActiveState", "--value", unit);
  }

  /** @throws when the unit is not in that state in time, with what the unit wrote */
  async waitFor(unit: string, state: string, timeoutMs: number): Promise<void> {
    const endMs = Date.now() + timeoutMs;
    while (this.state(unit) !== state) {
      if (Date.now() > endMs)
        throw new Error(`${unit} is ${this.state(unit)}, not ${state}\n${this.#log(unit)}`);
      await delay(50);
    }
  }

  /** Asks until it holds. @throws when it does not in time */
  async until(what: string, timeoutMs: number, holds: () => boolean): Promise<void> {
    const endMs = Date.now() + timeoutMs;
    while (!holds()) {
      if (Date.now() > endMs) throw new Error(`not within ${timeoutMs} ms: ${what}`);
      await delay(100);
    }
  }

  close(): void {
    process.off("exit", this.#kill);
    this.#stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Units of a test write to files, since there is no journal. */
  #log(unit: string): string {
    return this.try("cat", `/tmp/${unit}.log`).stdout;
  }

  #enter(command: string, args: readonly string[]): string[] {
    const namespaces = ["--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup"];
    return ["--target", String(this.#pid), ...namespaces, "--root", "--wd", "--", command, ...args];
  }

  #stop(): void {
    const machine = this.#process;
    this.#process = undefined;
    if (machine?.pid === undefined) return;
    // The first process of the namespace: the kernel ends all others with it.
    if (this.#pid > 0) spawnSync("kill", ["-9", String(this.#pid)]);
    machine.kill("SIGKILL");
    const remove = `
      mount --make-rprivate /; mount -t cgroup2 cgroup2 "$1"
      for i in 1 2 3 4 5 6 7 8 9 10; do
        find "$1/$2" -depth -type d -exec rmdir {} + 2>/dev/null
        [ -d "$1/$2" ] || exit 0
        sleep 0.2
      done`;
    spawnSync("unshare", ["--mount", "sh", "-c", remove, "sh", join(this.#folder, "disk"), this.#cgroup]);
  }
}

/** The first process of the namespace that `unshare --fork` made. */
function childOf(pid: number): number {
  try {
    const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    return Number(child ?? 0);
  } catch {
    return 0;
  }
}
