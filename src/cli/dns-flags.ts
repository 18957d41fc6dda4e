/** Layer cli. Flags of `nodeplane dns`: CoreDNS's with one or two dashes, and ours. */
import { NodeplaneError } from "../model/errors.ts";
import { type IpAddress, parseIp } from "../model/ip.ts";

export interface DnsFlags {
  readonly conf?: string;
  readonly port: number;
  readonly objects?: string;
  readonly config?: string;
  readonly localAddresses: readonly IpAddress[];
  readonly check: boolean;
  readonly quiet: boolean;
  readonly help: boolean;
  readonly version: boolean;
  readonly plugins: boolean;
  readonly holdUnsynced: boolean;
}

const SWITCHES = {
  check: "check",
  quiet: "quiet",
  help: "help",
  h: "help",
  version: "version",
  plugins: "plugins",
  "hold-unsynced": "holdUnsynced",
} as const;
const VALUES = ["conf", "dns.port", "p", "objects", "config", "local-address"] as const;
const DEFAULT_PORT = 53;

type Draft = { -readonly [K in keyof DnsFlags]: DnsFlags[K] };

/** @throws {NodeplaneError} CONFIG_INVALID for the first unknown flag or bad value */
export function parseDnsFlags(args: readonly string[]): DnsFlags {
  const draft: Draft = {
    port: DEFAULT_PORT,
    localAddresses: [],
    check: false,
    quiet: false,
    help: false,
    version: false,
    plugins: false,
    holdUnsynced: false,
  };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? "";
    const match = /^--?([a-z][a-z.-]*)(?:=(.*))?$/s.exec(arg);
    if (match === null) throw bad(arg, "not a flag; see 'nodeplane dns --help'");
    const name = match[1] ?? "";
    if (Object.hasOwn(SWITCHES, name) && match[2] === undefined) {
      draft[SWITCHES[name as keyof typeof SWITCHES]] = true;
      continue;
    }
    const known = VALUES.find((value) => value === name);
    if (known === undefined) throw bad(arg, "unknown flag; see 'nodeplane dns --help'");
    const value = match[2] ?? args[++i];
    if (value === undefined) throw bad(arg, "needs a value");
    setValue(draft, known, value);
  }
  if (draft.objects !== undefined && draft.config !== undefined) {
    throw bad("--objects", "excludes --config: objects come from files or from a control plane");
  }
  return draft;
}

function setValue(draft: Draft, name: (typeof VALUES)[number], value: string): void {
  switch (name) {
    case "conf":
      draft.conf = value;
      return;
    case "objects":
      draft.objects = value;
      return;
    case "config":
      draft.config = value;
      return;
    case "dns.port":
    case "p": {
      const port = /^\d{1,5}$/.test(value) ? Number(value) : 65_536;
      if (port > 65_535) throw bad(`-${name}`, `"${value}" is not allowed; allowed: 0 to 65535`);
      draft.port = port;
      return;
    }
    case "local-address": {
      const address = parseIp(value);
      if (address === undefined) throw bad("--local-address", `"${value}" is no IP address`);
      draft.localAddresses = [...draft.localAddresses, address];
      return;
    }
  }
}

function bad(object: string, detail: string): NodeplaneError {
  return new NodeplaneError("CONFIG_INVALID", { object, detail });
}
