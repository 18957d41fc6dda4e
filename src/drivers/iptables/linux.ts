/**
 * Layer drivers. iptables-save and iptables-restore as installed, of one family and variant. Every command waits for
 * /run/xtables.lock, which the legacy variant shares among all its users.
 * Source: iptables-restore(8), iptables 1.8.9.
 */
import { NodeplaneError } from "../../model/errors.ts";
import type { IpFamily } from "../../model/ip.ts";
import type { IptablesDriver, IptablesVariant, RestoreResult } from "./driver.ts";
import { readRestoreError } from "./restore-error.ts";
import { type CommandInput, runCommand } from "./run-command.ts";

/** Seconds to wait for the lock. */
const LOCK_SECONDS = "5";
/** Exit status of "somebody else holds the lock" (iptables RESOURCE_PROBLEM). */
const LOCKED_STATUS = 4;
/** A save of 5,000 services with 10 endpoints is about 40 MB. */
const MAX_SAVE_BYTES = 512 << 20;
const SHORT = { timeoutMs: 20_000, maxOutputBytes: 1 << 20 };
const LONG = { timeoutMs: 180_000, maxOutputBytes: MAX_SAVE_BYTES };

const COMMANDS: Readonly<Record<IpFamily, string>> = { ip: "iptables", ip6: "ip6tables" };

export class LinuxIptables implements IptablesDriver {
  /** Both families take the same lock: one command of this process must not run into the time that another may wait. */
  static #writing: Promise<unknown> = Promise.resolve();
  readonly family: IpFamily;
  readonly variant: IptablesVariant;
  readonly version: string;
  readonly hasRandomFully: boolean;
  readonly #prefix: string;

  private constructor(family: IpFamily, prefix: string, variant: IptablesVariant, version: string) {
    this.family = family;
    this.#prefix = prefix;
    this.variant = variant;
    this.version = version;
    this.hasRandomFully = isAtLeast(version, [1, 6, 2]);
  }

  /**
   * Opens the commands of a family.
   * @param variant the one to use; absent: what plain `iptables` is on this machine
   * @throws {NodeplaneError} IPTABLES_MISSING when the commands are not installed
   */
  static async open(family: IpFamily, variant?: IptablesVariant): Promise<LinuxIptables> {
    const prefix = variant === undefined ? COMMANDS[family] : `${COMMANDS[family]}-${variant}`;
    const said = await version(prefix);
    if (said === undefined) {
      const detail = "install the package iptables (with iptables-save and iptables-restore)";
      throw new NodeplaneError("IPTABLES_MISSING", { operation: prefix, detail });
    }
    return new LinuxIptables(family, prefix, said.variant, said.version);
  }

  async save(): Promise<string> {
    const { status, stdout, stderr } = await runCommand(`${this.#prefix}-save`, [], LONG);
    if (status === 0) return stdout;
    throw this.#error(`${this.#prefix}-save`, status, stderr);
  }

  async restore(text: Iterable<string>): Promise<RestoreResult> {
    const source = text[Symbol.iterator]();
    const first = source.next();
    if (first.done === true) return { kind: "restored" };
    const after = LinuxIptables.#writing;
    const result = this.#restore({ text: begunWith(first.value, source), after });
    LinuxIptables.#writing = result.catch(() => {});
    return result;
  }

  async #restore(input: CommandInput): Promise<RestoreResult> {
    const command = `${this.#prefix}-restore`;
    const args = ["-w", LOCK_SECONDS, "--noflush", "--counters"];
    const { status, stderr } = await runCommand(command, args, LONG, input);
    if (status === 0) return { kind: "restored" };
    const failure = readRestoreError(stderr);
    // Status 4 is also a kernel's "no such file" (nft variant); that one names a line.
    if (status === LOCKED_STATUS && failure.line === undefined && /lock/i.test(stderr))
      throw this.#error(command, status, stderr);
    return { kind: "failed", ...failure };
  }

  async hasChain(table: "filter" | "nat" | "mangle", chain: string): Promise<boolean> {
    const args = ["-w", LOCK_SECONDS, "-t", table, "-n", "-L", chain];
    const { status, stderr } = await runCommand(this.#prefix, args, SHORT);
    if (status === 0) return true;
    if (status === 1) return false;
    throw this.#error(this.#prefix, status, stderr);
  }

  #error(operation: string, status: number, stderr: string): NodeplaneError {
    const { message } = readRestoreError(stderr);
    return new NodeplaneError("IPTABLES_FAILED", { operation, detail: `status ${status}: ${message}` });
  }
}

/** What is left of `rest`, with what was taken from it. */
function* begunWith(first: string, rest: Iterator<string>): Generator<string, void> {
  yield first;
  for (let next = rest.next(); next.done !== true; next = rest.next()) yield next.value;
}

async function version(
  command: string,
): Promise<{ readonly variant: IptablesVariant; readonly version: string } | undefined> {
  try {
    const { stdout, status } = await runCommand(command, ["--version"], SHORT);
    const match = /v(\d+(?:\.\d+)+)(?: \((\w+)\))?/.exec(stdout);
    if (status !== 0 || match === null) return undefined;
    return { version: match[1] ?? "", variant: match[2] === "nf_tables" ? "nft" : "legacy" };
  } catch {
    return undefined;
  }
}

function isAtLeast(text: string, wanted: readonly number[]): boolean {
  const parts = text.split(".").map(Number);
  for (const [i, least] of wanted.entries()) {
    const part = parts[i] ?? 0;
    if (part !== least) return part > least;
  }
  return true;
}
