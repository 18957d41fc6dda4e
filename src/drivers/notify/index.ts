/**
 * Layer drivers. Tells the service manager about this service (sd_notify, systemd's protocol): READY=1, STATUS=…,
 * STOPPING=1, WATCHDOG=1. Without NOTIFY_SOCKET every call does nothing.
 */
import { addon, isSystemError } from "../addon.ts";

export interface NotifyDriver {
  /** Sends lines such as `READY=1`. @returns whether the manager got them; a manager that is gone is no error */
  notify(...lines: readonly string[]): boolean;
  /** How often the manager wants WATCHDOG=1, in milliseconds: half of its limit; `undefined` when it does not. */
  readonly watchdogMs: number | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

export class SystemdNotify implements NotifyDriver {
  readonly watchdogMs: number | undefined;
  readonly #path: string;

  /** Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. */
  constructor(env: Environment, pid: number) {
    this.#path = env["NOTIFY_SOCKET"] ?? "";
    const limitUs = Number(env["WATCHDOG_USEC"] ?? "0");
    const forUs = env["WATCHDOG_PID"] === undefined || Number(env["WATCHDOG_PID"]) === pid;
    this.watchdogMs = this.#path !== "" && limitUs > 0 && forUs ? Math.floor(limitUs / 2_000) : undefined;
  }

  notify(...lines: readonly string[]): boolean {
    if (this.#path === "") return false;
    try {
      addon().sdNotify(this.#path, lines.join("\n"));
      return true;
    } catch (error) {
      if (isSystemError(error)) return false;
      throw error;
    }
  }
}

/** Remembers what was said. */
export class FakeNotify implements NotifyDriver {
  readonly lines: string[] = [];
  readonly watchdogMs: number | undefined;

  constructor(watchdogMs?: number) {
    this.watchdogMs = watchdogMs;
  }

  notify(...lines: readonly string[]): boolean {
    this.lines.push(...lines);
    return true;
  }
}
