/**
 * Layer agent. Command-line flags of the agent, from the same tables as the file's fields: `--flag value`,
 * `--flag=value`, and for true/false also `--flag` alone. Flags win over the file.
 */
import { AGENT_FIELDS } from "./agent-fields.ts";
import type { Field, FieldValues } from "./field.ts";
import { bool, int } from "./field-types.ts";
import { KUBE_PROXY, KUBE_PROXY_FIELDS } from "./kube-proxy-fields.ts";
import { configError, shown } from "./read-documents.ts";

/** Accepted as kube-proxy accepts it (`-v 2`); see `--log-level`. */
const VERBOSITY: Field<unknown> = {
  path: "logging.verbosity",
  type: int(0, 100),
  fallback: 0,
  fallbackText: "0",
};

/** Other names of flags. */
const ALIASES: Readonly<Record<string, Field<unknown>>> = {
  "node-name": KUBE_PROXY.hostnameOverride,
  v: VERBOSITY,
};

const FLAGS: ReadonlyMap<string, Field<unknown>> = new Map([
  ...[...KUBE_PROXY_FIELDS, ...AGENT_FIELDS].flatMap((field) =>
    field.flag === undefined ? [] : [[field.flag, field] as const],
  ),
  ...Object.entries(ALIASES),
]);

export interface FlagArguments {
  /** `--config`, if given. */
  readonly configFile?: string;
  readonly help: boolean;
  /** Adds the flags' values; call it after the file was read. */
  readonly apply: (values: FieldValues) => void;
}

/**
 * @returns what the arguments say
 * @throws {NodeplaneError} CONFIG_INVALID for the first unknown flag or bad value
 */
export function parseFlags(args: readonly string[]): FlagArguments {
  const settings: ((values: FieldValues) => void)[] = [];
  let configFile: string | undefined;
  let help = false;
  for (let i = 0; i < args.length; i++) {
    const { name, inline } = splitFlag(args[i] ?? "");
    if (name === "help" || name === "h") {
      help = true;
      continue;
    }
    const field = FLAGS.get(name);
    if (field === undefined && name !== "config") {
      throw configError(`--${name}`, "", "unknown flag; see 'nodeplane agent --help'");
    }
    const next = args[i + 1];
    const alone = field?.type === bool && inline === undefined && next !== "true" && next !== "false";
    const value = inline ?? (alone ? "true" : next);
    if (inline === undefined && !alone) i++;
    if (value === undefined) throw configError(`--${name}`, "", "needs a value");
    if (field === undefined) configFile = value;
    else settings.push(setter(field, name, value));
  }
  return {
    ...(configFile === undefined ? {} : { configFile }),
    help,
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

function setter(field: Field<unknown>, name: string, value: string): (values: FieldValues) => void {
  const checked = field.type.check(field.type.fromText(value));
  if (!checked.ok) {
    throw configError(`--${name}`, "", `${shown(value)} is not allowed; allowed: ${field.type.allowed}`);
  }
  return (values) => values.set(field, checked.value);
}
