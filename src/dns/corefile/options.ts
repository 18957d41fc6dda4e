/**
 * Layer dns. What plugins' `setup` files read their lines with: arguments and options checked, every refusal one line with
 * file, line, directive and what is allowed.
 */
import { type Cidr, type IpAddress, ipFamily, parseCidr, parseIp } from "../../model/ip.ts";
import { corefileError } from "./corefile-error.ts";
import type { Directive } from "./parser.ts";
import { expandZone } from "./zones.ts";

type OptionReader = (option: Directive) => void;

/** Runs the reader of each option line. Options that CoreDNS has and we refuse are readers that throw. */
export function readOptions(directive: Directive, readers: Readonly<Record<string, OptionReader>>): void {
  for (const option of directive.options ?? []) {
    const reader = Object.hasOwn(readers, option.name) ? readers[option.name] : undefined;
    if (reader === undefined) {
      const allowed = Object.keys(readers);
      throw corefileError(
        option,
        directive.name,
        allowed.length === 0
          ? `unknown option "${option.name}"; this plugin has none`
          : `unknown option "${option.name}"; allowed: ${allowed.join(", ")}`,
      );
    }
    reader(option);
  }
}

/** @throws when the number of arguments is outside the range; `form` shows how the line looks */
export function expectArgs(
  directive: Directive,
  minimum: number,
  maximum: number,
  form: string,
): readonly string[] {
  const count = directive.args.length;
  if (count < minimum || count > maximum) {
    throw corefileError(
      directive,
      directive.name,
      `wrong number of arguments (${count}); the form is: ${form}`,
    );
  }
  return directive.args;
}

/** Argument `index` as an integer in a range. */
export function integerArg(directive: Directive, index: number, minimum: number, maximum: number): number {
  const text = directive.args[index] ?? "";
  const value = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= minimum && value <= maximum)) {
    throw corefileError(
      directive,
      directive.name,
      `"${text}" is not allowed; a whole number from ${minimum} to ${maximum} is`,
    );
  }
  return value;
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** A duration in Go's notation (`1h30m`, `500ms`, `0`) in milliseconds, or `undefined`. */
export function parseDurationMs(text: string): number | undefined {
  if (text === "0") return 0;
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, digits, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    sum += Number(digits) * (UNIT_MS[unit ?? ""] ?? 0);
  }
  return sum;
}

/** Argument `index` as a duration in milliseconds within a range. */
export function durationArg(
  directive: Directive,
  index: number,
  minimumMs = 0,
  maximumMs = 86_400_000 * 365,
): number {
  const text = directive.args[index] ?? "";
  const value = parseDurationMs(text);
  if (value === undefined || value < minimumMs || value > maximumMs) {
    const range =
      minimumMs > 0 || maximumMs < 86_400_000 * 365 ? ` from ${minimumMs} ms to ${maximumMs} ms` : "";
    throw corefileError(
      directive,
      directive.name,
      `"${text}" is not a duration${range} (as in 5s, 500ms, 1m)`,
    );
  }
  return value;
}

/** One of a few words. */
export function wordArg<T extends string>(directive: Directive, index: number, allowed: readonly T[]): T {
  const text = directive.args[index] ?? "";
  const found = allowed.find((word) => word === text);
  if (found === undefined) {
    throw corefileError(
      directive,
      directive.name,
      `"${text}" is not allowed; allowed: ${allowed.join(", ")}`,
    );
  }
  return found;
}

/** Zones of the arguments from `index` on, absolute and lower case; without any, `fallback`. */
export function zoneArgs(
  directive: Directive,
  index: number,
  fallback: readonly string[],
): readonly string[] {
  const names = directive.args.slice(index);
  if (names.length === 0) return fallback;
  return names.flatMap((text) => {
    const zones = expandZone(text);
    if (zones === undefined) throw corefileError(directive, directive.name, `"${text}" is not a zone`);
    return zones;
  });
}

/** A listen address as `:8080`, `host:8080`, `[::1]:8080`. Host empty: all addresses. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export function listenArg(directive: Directive, index: number, fallback: ListenAddress): ListenAddress {
  const text = directive.args[index];
  if (text === undefined) return fallback;
  const match = /^(?:\[([0-9a-fA-F:.%a-z0-9]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3] ?? 65_536);
  if (match === null || port > 65_535) {
    throw corefileError(directive, directive.name, `"${text}" is not an address; allowed: [HOST]:PORT`);
  }
  return { host: match[1] ?? match[2] ?? "", port };
}

/** An address range, or a single address as a range of one. */
export function parseRange(text: string): Cidr | undefined {
  const address: IpAddress | undefined = parseIp(text);
  if (address !== undefined) return { address, prefixBits: ipFamily(address) === "ip" ? 32 : 128 };
  return parseCidr(text);
}

/** @throws for options that CoreDNS has and nodeplane does not */
export function refuseOption(reason: string): OptionReader {
  return (option) => {
    throw corefileError(option, option.name, reason);
  };
}
