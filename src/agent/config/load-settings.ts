/**
 * Layer agent. From command-line arguments to settings: flags over file over defaults. Reads at most one file.
 */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { NodeplaneError } from "../../model/errors.ts";
import { type AgentSettings, agentSettings } from "./agent-settings.ts";
import { FieldValues } from "./field.ts";
import { parseFlags } from "./flags.ts";
import { readDocuments } from "./read-documents.ts";

export type LoadedSettings =
  | { readonly kind: "help" }
  | { readonly kind: "settings"; readonly settings: AgentSettings; readonly values: FieldValues };

/** @throws {NodeplaneError} CONFIG_INVALID or FILE_UNREADABLE, naming file or flag, field and what is allowed */
export function loadSettings(args: readonly string[]): LoadedSettings {
  const flags = parseFlags(args);
  if (flags.help) return { kind: "help" };
  const values = new FieldValues();
  if (flags.configFile !== undefined) readDocuments(flags.configFile, readConfig(flags.configFile), values);
  flags.apply(values);
  return { kind: "settings", settings: agentSettings(values, hostname()), values };
}

function readConfig(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new NodeplaneError("FILE_UNREADABLE", { path, detail: (error as Error).message }, error);
  }
}
