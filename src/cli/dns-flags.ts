/** Layer cli. Flags of `nodeplane dns`: CoreDNS's with one or two dashes, and ours. Flags win over `--config`. */
import { NodeplaneError } from "../model/errors.ts";
import { type IpAddress, parseIp } from "../model/ip.ts";

export interface DnsFlags {
  readonly conf?: string;
  /** Absent: 53, or what the configuration file says. */
  readonly port?: number;
  readonly objects?: string;
  readonly config?: string;
  readonly stream: StreamFlags;
  readonly localAddresses: readonly IpAddress[];
  readonly check: boolean;
  readonly quiet: boolean;
  readonly help: boolean;
  readonly version: boolean;
  readonly plugins: boolean;
  /** For tests, not in the help: names of the cluster as before the first complete data. */
  readonly holdUnsynced: boolean;
  /** UDP through the native engine. */
  readonly engine: boolean;
}

/** Where the control plane is; also the fields of the configuration file. */
export interface StreamFlags {
  readonly address?: string;
  readonly caFile?: string;
  readonly certificateFile?: string;
  readonly keyFile?: string;
  readonly nodeName?: string;
  readonly stateDir?: string;
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
const STREAM = {
  "control-plane": "address",
  "ca-file": "caFile",
  "certificate-file": "certificateFile",
  "key-file": "keyFile",
  "node-name": "nodeName",
  "state-dir": "stateDir",
} as const;
const TEXTS = { conf: "conf", objects: "objects", config: "config" } as const;

type Draft = { -readonly [K in keyof DnsFlags]: DnsFlags[K] };

/** @throws {NodeplaneError} CONFIG_INVALID for the first unknown flag or bad value */
export function parseDnsFlags(args: readonly string[]): DnsFlags {
  const draft: Draft = {
    stream: {},
    localAddresses: [],
    check: false,
    quiet: false,
    help: false,
    version: false,
    plugins: false,
    holdUnsynced: false,
    engine: true,
  };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? "";
    const match = /^--?([a-z][a-z.-]*)(?:=(.*))?$/s.exec(arg);
    if (match === null) throw bad(arg, "not a flag; see 'nodeplane dns --help'");
    const name = match[1] ?? "";
    if (isKey(SWITCHES, name) && match[2] === undefined) {
      draft[SWITCHES[name]] = true;
      continue;
    }
    if (!isKnownValue(name)) throw bad(arg, "unknown flag; see 'nodeplane dns --help'");
    const value = match[2] ?? args[++i];
    if (value === undefined || value === "") throw bad(`--${name}`, "needs a value");
    setValue(draft, name, value);
  }
  if (draft.objects !== undefined && (draft.config !== undefined || draft.stream.address !== undefined)) {
    throw bad("--objects", "excludes --config and --control-plane: objects come from one place");
  }
  return draft;
}

function isKey<T extends object>(table: T, name: string): name is Extract<keyof T, string> {
  return Object.hasOwn(table, name);
}

function isKnownValue(name: string): boolean {
  return (
    isKey(TEXTS, name) || isKey(STREAM, name) || ["dns.port", "p", "local-address", "engine"].includes(name)
  );
}

function setValue(draft: Draft, name: string, value: string): void {
  if (isKey(TEXTS, name)) draft[TEXTS[name]] = value;
  else if (isKey(STREAM, name)) draft.stream = { ...draft.stream, [STREAM[name]]: value };
  else if (name === "engine") {
    if (value !== "on" && value !== "off")
      throw bad("--engine", `"${value}" is not allowed; allowed: on, off`);
    draft.engine = value === "on";
  } else if (name === "local-address") {
    const address = parseIp(value);
    if (address === undefined) throw bad("--local-address", `"${value}" is no IP address`);
    draft.localAddresses = [...draft.localAddresses, address];
  } else {
    const port = /^\d{1,5}$/.test(value) ? Number(value) : 65_536;
    if (port > 65_535) throw bad(`-${name}`, `"${value}" is not allowed; allowed: 0 to 65535`);
    draft.port = port;
  }
}

function bad(object: string, detail: string): NodeplaneError {
  return new NodeplaneError("CONFIG_INVALID", { object, detail });
}
