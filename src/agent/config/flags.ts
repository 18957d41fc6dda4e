/**
 * Layer agent. Command-line flags of the agent, from the same tables as the file's fields: `--flag value`,
 * `--flag=value`, and for true/false also `--flag` alone. Flags win over the file.
 */
import { AGENT_FIELDS } from "./agent-fields.ts";
import type { Field, FieldType, FieldValues } from "./field.ts";
import { anything, bool, int } from "./field-types.ts";
import { KUBE_PROXY, KUBE_PROXY_FIELDS } from "./kube-proxy-fields.ts";
import { configError, shown } from "./read-documents.ts";

/** Flags of kube-proxy that no field stands behind: checked and then left alone. See `--log-level`. */
const IGNORED: Readonly<Record<string, FieldType<unknown>>> = {
  v: int(0, 100),
  vmodule: anything,
  "logging-format": anything,
  "log-flush-frequency": anything,
  "log-text-split-stream": anything,
  "log-text-info-buffer-size": anything,
  "log-json-split-stream": anything,
  "log-json-info-buffer-size": anything,
  master: anything,
};

/** A flag's type, and the fields that it sets: more than one where modes have a field each. */
interface Flag {
  readonly type: FieldType<unknown>;
  readonly fields: readonly Field<unknown>[];
}

const FLAGS: ReadonlyMap<string, Flag> = new Map(
  Object.entries({
    ...Object.fromEntries(Object.entries(IGNORED).map(([name, type]) => [name, { type, fields: [] }])),
    ...Object.fromEntries(
      Map.groupBy([...KUBE_PROXY_FIELDS, ...AGENT_FIELDS], ({ flag }) => flag ?? "")
        .entries()
        .filter(([name]) => name !== "")
        .map(([name, fields]) => [name, { type: (fields[0] ?? KUBE_PROXY.mode).type, fields }]),
    ),
    "node-name": { type: KUBE_PROXY.hostnameOverride.type, fields: [KUBE_PROXY.hostnameOverride] },
  }),
);

/** Flags that name a file and set no field. */
const FILE_FLAGS: ReadonlySet<string> = new Set(["config", "write-config-to"]);
/** Flags that ask for something else than running. */
const INSTEAD: ReadonlyMap<string, FlagArguments["instead"]> = new Map([
  ["help", "help"],
  ["h", "help"],
  ["version", "version"],
  ["cleanup", "cleanup"],
]);
const UNKNOWN_FLAG = "unknown flag; see 'nodeplane agent --help'";
/** Flags of kube-proxy that are refused, and what to do. */
const UNKNOWN: Readonly<Record<string, string>> = {
  "init-only":
    "is not offered: the agent sets kernel settings itself and needs its rights as long as it runs",
  "healthz-port": "was removed from kube-proxy; use --healthz-bind-address ADDRESS:PORT",
  "metrics-port": "was removed from kube-proxy; use --metrics-bind-address ADDRESS:PORT",
};

export interface FlagArguments {
  /** `--config`, if given. */
  readonly configFile?: string;
  /** What to do instead of running. */
  readonly instead?: "help" | "version" | "cleanup";
  /** `--write-config-to`: write the configuration there, and do nothing else. */
  readonly writeTo?: string;
  /** Adds the flags' values; call it after the file was read. */
  readonly apply: (values: FieldValues) => void;
}

/**
 * @returns what the arguments say
 * @throws {NodeplaneError} CONFIG_INVALID for the first unknown flag or bad value
 */
export function parseFlags(args: readonly string[]): FlagArguments {
  const settings: ((values: FieldValues) => void)[] = [];
  const files = new Map<string, string>();
  let instead: FlagArguments["instead"];
  for (let i = 0; i < args.length; i++) {
    const { name, inline } = splitFlag(args[i] ?? "");
    const type = FILE_FLAGS.has(name) ? anything : INSTEAD.has(name) ? bool : FLAGS.get(name)?.type;
    if (type === undefined) throw configError(`--${name}`, "", UNKNOWN[name] ?? UNKNOWN_FLAG);
    const next = args[i + 1];
    const alone = type === bool && inline === undefined && next !== "true" && next !== "false";
    const value = inline ?? (alone ? "true" : next);
    if (inline === undefined && !alone) i++;
    if (value === undefined) throw configError(`--${name}`, "", "needs a value");
    if (FILE_FLAGS.has(name)) files.set(name, value);
    else if (!INSTEAD.has(name)) settings.push(setter(name, value));
    else if (checkedValue(bool, name, value)) instead = INSTEAD.get(name);
  }
  const configFile = files.get("config");
  const writeTo = files.get("write-config-to");
  return {
    ...(configFile === undefined ? {} : { configFile }),
    ...(instead === undefined ? {} : { instead }),
    ...(writeTo === undefined ? {} : { writeTo }),
    apply: (values) => {
      for (const set of settings) set(values);
    },
  };
}

function splitFlag(arg: string): { readonly name: string; readonly inline?: string } {
  const match = /^--?([a-z0-9-]+)(?:=(.*))?$/s.exec(arg);
  if (match === null) throw configError(shown(arg), "", "not a flag; see 'nodeplane agent --help'");
  return { name: match[1] ?? "", ...(match[2] === undefined ? {} : { inline: match[2] }) };
}

function setter(name: string, value: string): (values: FieldValues) => void {
  const flag = FLAGS.get(name) ?? { type: anything, fields: [] };
  const checked = checkedValue(flag.type, name, value);
  return (values) => {
    for (const field of flag.fields) values.set(field, checked);
  };
}

function checkedValue<T>(type: FieldType<T>, name: string, value: string): T {
  const checked = type.check(type.fromText(value));
  if (checked.ok) return checked.value;
  throw configError(`--${name}`, "", `${shown(value)} is not allowed; allowed: ${type.allowed}`);
}
