/**
 * Layer agent. The types of configuration values: text, numbers, durations as Go writes them, addresses, lists, maps.
 * Every list and text is bounded.
 */
import { type Cidr, type IpAddress, parseCidr, parseIp } from "../../model/ip.ts";
import type { Checked, FieldType } from "./field.ts";

const MAX_TEXT = 4096;
const MAX_ITEMS = 1000;
const NO = { ok: false } as const;

function yes<T>(value: T): Checked<T> {
  return { ok: true, value };
}

/** Where a server listens; `undefined` is off. */
export interface BindAddress {
  readonly host: string;
  readonly port: number;
}

export function text(pattern?: RegExp, allowed = "text"): FieldType<string> {
  return {
    allowed,
    check: (value) =>
      typeof value === "string" &&
      value.length <= MAX_TEXT &&
      (pattern === undefined || value === "" || pattern.test(value))
        ? yes(value)
        : NO,
    fromText: (flag) => flag,
  };
}

export const bool: FieldType<boolean> = {
  allowed: "true or false",
  check: (value) => (typeof value === "boolean" ? yes(value) : NO),
  fromText: (flag) => (flag === "true" ? true : flag === "false" ? false : flag),
};

export function int(min: number, max: number): FieldType<number> {
  return {
    allowed: `a whole number from ${min} to ${max}`,
    check: (value) =>
      typeof value === "number" && Number.isInteger(value) && value >= min && value <= max ? yes(value) : NO,
    fromText: (flag) => (/^-?\d{1,15}$/.test(flag) ? Number(flag) : flag),
  };
}

export const decimal: FieldType<number> = {
  allowed: "a number",
  check: (value) => (typeof value === "number" && Number.isFinite(value) ? yes(value) : NO),
  fromText: (flag) => (/^-?\d{1,15}(\.\d{1,9})?$/.test(flag) ? Number(flag) : flag),
};

const UNIT_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 0.001,
  µs: 0.001,
  ns: 0.000_001,
};

/** @returns milliseconds of a duration as Go's ParseDuration reads it (`1h30m`, `500ms`, `0`), else `undefined`. */
export function parseDurationMs(value: string): number | undefined {
  if (value === "0") return 0;
  if (!/^(\d{1,12}(\.\d{1,9})?(h|ms|us|µs|ns|m|s))+$/.test(value)) return undefined;
  let total = 0;
  for (const part of value.matchAll(/(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)/g)) {
    total += Number(part[1]) * (UNIT_MS[part[2] ?? ""] ?? 0);
  }
  return total;
}

/** Value in milliseconds. */
export function duration(minMs: number): FieldType<number> {
  const least = minMs === 0 ? "" : `, at least ${minMs} ms`;
  return {
    allowed: `a duration such as 30s, 1m30s or 500ms${least}`,
    check: (value) => {
      const ms = value === 0 ? 0 : typeof value === "string" ? parseDurationMs(value) : undefined;
      return ms !== undefined && ms >= minMs ? yes(ms) : NO;
    },
    fromText: (flag) => flag,
    toDocument: formatDuration,
  };
}

/** As Go's Duration prints it, but for parts that are zero: `1h30m`, `500ms`, `0s`. */
function formatDuration(milliseconds: number): string {
  let rest = Math.round(milliseconds * 1e6) / 1e6;
  let printed = "";
  for (const [unit, size] of [
    ["h", 3_600_000],
    ["m", 60_000],
    ["s", 1000],
  ] as const) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) printed += `${count}${unit}`;
  }
  if (rest > 0) printed += rest >= 0.001 ? `${Number(rest.toFixed(6))}ms` : `${Math.round(rest * 1e6)}ns`;
  return printed === "" ? "0s" : printed;
}

function formatCidr({ address, prefixBits }: Cidr): string {
  return `${address}/${prefixBits}`;
}

export function oneOf<const T extends string>(...values: readonly T[]): FieldType<T> {
  return {
    allowed: values.map((value) => (value === "" ? '""' : value)).join(", "),
    check: (value) => {
      const found = values.find((candidate) => candidate === value);
      return found === undefined ? NO : yes(found);
    },
    fromText: (flag) => flag,
  };
}

function splitList(flag: string): readonly string[] {
  return flag === "" ? [] : flag.split(",").map((part) => part.trim());
}

function list<T>(
  allowed: string,
  item: (text: string) => T | undefined,
  print: (item: T) => string,
): FieldType<readonly T[]> {
  return {
    allowed,
    check: (value) => {
      if (value === null) return yes([]);
      if (!Array.isArray(value) || value.length > MAX_ITEMS) return NO;
      const items: T[] = [];
      for (const part of value as readonly unknown[]) {
        const one = typeof part === "string" && part.length <= MAX_TEXT ? item(part) : undefined;
        if (one === undefined) return NO;
        items.push(one);
      }
      return yes(items);
    },
    fromText: splitList,
    toDocument: (items) => items.map(print),
  };
}

export const cidrs = list<Cidr>(
  "a list of ranges such as 192.168.0.0/24 or fd00::/64",
  parseCidr,
  formatCidr,
);
export const addresses = list<IpAddress>("a list of IP addresses", parseIp, String);

/** `primary` alone, or ranges. */
export const nodePortAddresses: FieldType<readonly (Cidr | "primary")[]> = (() => {
  const type = list<Cidr | "primary">(
    'a list of ranges such as 192.168.0.0/24, or the single word "primary"',
    (part) => (part === "primary" ? part : parseCidr(part)),
    (item) => (item === "primary" ? item : formatCidr(item)),
  );
  return {
    ...type,
    check: (value) => {
      const checked = type.check(value);
      return checked.ok && checked.value.includes("primary") && checked.value.length > 1 ? NO : checked;
    },
  };
})();

/** One range, or an IPv4 and an IPv6 range joined by a comma; empty is none. */
export const cidrPair: FieldType<readonly Cidr[]> = {
  allowed: "a range such as 10.244.0.0/16, or two joined by a comma, one of each IP family",
  check: (value) => {
    if (typeof value !== "string" || value.length > MAX_TEXT) return NO;
    const ranges = splitList(value).map(parseCidr);
    const good = ranges.filter((range) => range !== undefined);
    const families = new Set(good.map((range) => range.address.includes(":")));
    return good.length === ranges.length && families.size === good.length ? yes(good) : NO;
  },
  fromText: (flag) => flag,
  toDocument: (ranges) => ranges.map(formatCidr).join(","),
};

export const ipOrEmpty: FieldType<IpAddress | ""> = {
  allowed: "an IP address",
  check: (value) => {
    if (value === "") return yes("");
    const address = typeof value === "string" ? parseIp(value) : undefined;
    return address === undefined ? NO : yes(address);
  },
  fromText: (flag) => flag,
};

/** `ADDRESS:PORT`, `[IPV6]:PORT` or an address alone; empty or port 0 is off. */
export function bindAddress(defaultPort: number): FieldType<BindAddress | undefined> {
  return {
    allowed: `ADDRESS:PORT such as 0.0.0.0:${defaultPort} or [::]:${defaultPort}; empty or port 0 turns it off`,
    check: (value) => {
      if (value === "") return yes(undefined);
      if (typeof value !== "string") return NO;
      const alone = parseIp(value);
      if (alone !== undefined) return yes({ host: alone, port: defaultPort });
      const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(value);
      const host = parseIp(match?.[1] ?? match?.[2] ?? "");
      const port = Number(match?.[3] ?? Number.NaN);
      if (host === undefined || !(port <= 65_535)) return NO;
      return yes(port === 0 ? undefined : { host, port });
    },
    fromText: (flag) => flag,
    toDocument: (bind) => {
      const { host, port } = bind ?? { host: "0.0.0.0", port: 0 };
      return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
    },
  };
}

function map<T>(
  allowed: string,
  item: (value: unknown, key: string) => Checked<T>,
): FieldType<Readonly<Record<string, T>>> {
  return {
    allowed,
    check: (value) => {
      if (value === null) return yes({});
      if (typeof value !== "object" || Array.isArray(value)) return NO;
      const entries = Object.entries(value as object);
      if (entries.length > MAX_ITEMS) return NO;
      const result: Record<string, T> = {};
      for (const [key, part] of entries) {
        const checked = item(part, key);
        if (!checked.ok || key.length > MAX_TEXT) return NO;
        result[key] = checked.value;
      }
      return yes(result);
    },
    fromText: (flag) => {
      const result: Record<string, unknown> = {};
      for (const part of splitList(flag)) {
        const at = part.indexOf("=");
        if (at < 1) return flag;
        const value = part.slice(at + 1);
        result[part.slice(0, at)] = value === "true" ? true : value === "false" ? false : value;
      }
      return result;
    },
  };
}

export const bools = map<boolean>("names with true or false", (value) => bool.check(value));
const LABEL_KEY = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
/** Labels as the API takes them: one that it refused would keep the whole Node out. */
export const labels = map<string>(
  "labels such as example.com/role: edge, keys and values of at most 63 letters, digits, '-', '_' or '.'",
  (value, key) => {
    const label = typeof value === "boolean" ? String(value) : value;
    return typeof label === "string" && LABEL_KEY.test(key) && LABEL_VALUE.test(label) ? yes(label) : NO;
  },
);
/** A part of the document that is accepted whole, because nothing of it is used. */
export const anything: FieldType<unknown> = {
  allowed: "anything",
  check: (value) => yes(value),
  fromText: (flag) => flag,
};
