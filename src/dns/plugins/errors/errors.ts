/**
 * Layer dns. The `errors` plugin: one log line for each query that failed, `RCODE NAME TYPE: cause`; lines that match a
 * pattern are counted and summed up instead.
 */
import { formatRcode, formatType, RCODE } from "../../../codec/dns/constants.ts";
import type { Observation } from "../../plugin.ts";
import type { DnsQuery } from "../../query.ts";
import type { DnsLog } from "../../runtime.ts";

export type LogLevel = "error" | "warning" | "info" | "debug";

export interface Consolidation {
  readonly periodMs: number;
  readonly pattern: RegExp;
  readonly level: LogLevel;
  /** Also log the first of each period at once. */
  readonly showFirst: boolean;
}

export class ErrorLog {
  readonly #log: DnsLog;
  readonly #rules: readonly Consolidation[];
  readonly #counts: number[];
  readonly #withStack: boolean;

  constructor(log: DnsLog, rules: readonly Consolidation[], withStack: boolean) {
    this.#log = log;
    this.#rules = rules;
    this.#counts = rules.map(() => 0);
    this.#withStack = withStack;
  }

  observe(query: DnsQuery, seen: Observation): void {
    if (seen.cause === undefined) return;
    const text = this.#withStack ? (seen.cause.stack ?? seen.cause.message) : seen.cause.message;
    const rcode = formatRcode(seen.message?.rcode ?? RCODE.SERVFAIL);
    const line = `plugin/errors: ${rcode} ${query.name} ${formatType(query.type)}: ${text}`;
    const index = this.#rules.findIndex((rule) => rule.pattern.test(text));
    const rule = this.#rules[index];
    if (rule === undefined) {
      this.#log.error(line);
      return;
    }
    const count = (this.#counts[index] ?? 0) + 1;
    this.#counts[index] = count;
    if (count === 1 && rule.showFirst) this.#write(rule.level, line);
  }

  /** Sums up each rule once a period. */
  start(signal: AbortSignal): void {
    for (const [index, rule] of this.#rules.entries()) {
      const timer = setInterval(() => this.#sumUp(index, rule), rule.periodMs);
      timer.unref();
      signal.addEventListener("abort", () => clearInterval(timer), { once: true });
    }
  }

  #sumUp(index: number, rule: Consolidation): void {
    const count = this.#counts[index] ?? 0;
    this.#counts[index] = 0;
    if (count === 0 || (count === 1 && rule.showFirst)) return;
    const seconds = rule.periodMs / 1000;
    this.#write(
      rule.level,
      `plugin/errors: ${count} errors like '${rule.pattern.source}' occurred in last ${seconds}s`,
    );
  }

  #write(level: LogLevel, line: string): void {
    if (level === "warning") this.#log.warn(line);
    else this.#log[level](line);
  }
}
