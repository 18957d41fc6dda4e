/**
 * Layer agent. From command-line arguments to settings: flags over file over defaults. Reads at most one file.
 */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { NodeplaneError } from "../../model/errors.ts";
import { AGENT } from "./agent-fields.ts";
import { type AgentSettings, nodeSettings, source } from "./agent-settings.ts";
import { type ConfigDocuments, configDocuments, formatDocuments } from "./config-documents.ts";
import { FieldValues } from "./field.ts";
import { parseFlags } from "./flags.ts";
import { readDocuments } from "./read-documents.ts";

export type LoadedSettings =
  | { readonly kind: "help" | "version" }
  | { readonly kind: "cleanup"; readonly stateDir: string; readonly statusSocket: string }
  | { readonly kind: "write"; readonly path: string; readonly text: string }
  | {
      readonly kind: "settings";
      readonly settings: AgentSettings;
      /** What is in force, defaults included. */
      readonly documents: ConfigDocuments;
    };

/** @throws {NodeplaneError} CONFIG_INVALID or FILE_UNREADABLE, naming file or flag, field and what is allowed */
export function loadSettings(args: readonly string[]): LoadedSettings {
  const flags = parseFlags(args);
  if (flags.instead === "help" || flags.instead === "version") return { kind: flags.instead };
  const values = new FieldValues();
  if (flags.configFile !== undefined) readDocuments(flags.configFile, readConfig(flags.configFile), values);
  flags.apply(values);
  if (flags.instead === "cleanup")
    return {
      kind: "cleanup",
      stateDir: values.get(AGENT.stateDir),
      statusSocket: values.get(AGENT.statusSocket),
    };
  const settings = nodeSettings(values, hostname());
  const documents = configDocuments(values, settings);
  if (flags.writeTo !== undefined)
    return { kind: "write", path: flags.writeTo, text: formatDocuments(documents) };
  return { kind: "settings", settings: { ...settings, source: source(values) }, documents };
}

function readConfig(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new NodeplaneError("FILE_UNREADABLE", { path, detail: (error as Error).message }, error);
  }
}
