/**
 * Layer cli. The optional configuration file of the resolver, for what a Corefile has no place for:
 * `kind: ResolverConfiguration`. Unknown fields are errors.
 */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { parse } from "yaml";
import { NodeplaneError } from "../model/errors.ts";
import type { DnsFlags, StreamFlags } from "./dns-flags.ts";

const API_VERSION = "nodeplane.dev/v1alpha1";
const KIND = "ResolverConfiguration";
const MAX_FILE_BYTES = 1024 * 1024;
const NODE_PREFIX = "system:node:";

export interface ResolverSettings {
  readonly corefile?: string;
  readonly port: number;
  /** Absent: no control plane. */
  readonly stream?: Required<StreamFlags>;
}

const DEFAULTS = {
  caFile: "/etc/nodeplane/pki/ca.crt",
  certificateFile: "/etc/nodeplane/pki/node.crt",
  keyFile: "/etc/nodeplane/pki/node.key",
  stateDir: "/var/lib/nodeplane/dns",
} as const;
const DEFAULT_PORT = 53;
const HOST_PORT = /^(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):\d{1,5}$/;

/** @throws {NodeplaneError} CONFIG_INVALID, FILE_UNREADABLE naming file and field */
export function resolverSettings(flags: DnsFlags): ResolverSettings {
  const file = flags.config === undefined ? {} : readFile(flags.config);
  const stream = { ...file.stream, ...flags.stream };
  const corefile = flags.conf ?? file.corefile;
  const port = flags.port ?? file.port ?? DEFAULT_PORT;
  const base = { port, ...(corefile === undefined ? {} : { corefile }) };
  const { address } = stream;
  if (address === undefined) {
    const [name] = Object.keys(flags.stream);
    if (name !== undefined)
      throw bad("--control-plane", "", "is missing: the other flags of the stream need it");
    return base;
  }
  if (!HOST_PORT.test(address)) {
    throw bad(
      "--control-plane",
      "",
      `"${address}" is not allowed; allowed: HOST:PORT such as control.example:6444`,
    );
  }
  const files = { ...DEFAULTS, ...stream };
  return {
    ...base,
    stream: { ...files, address, nodeName: stream.nodeName ?? nodeNameOf(files.certificateFile) },
  };
}

interface FileContent {
  readonly corefile?: string;
  readonly port?: number;
  readonly stream?: StreamFlags;
}

function readFile(path: string): FileContent {
  const root = asObject(parseYaml(path), path, "");
  allowOnly(root, path, "", [
    "apiVersion",
    "kind",
    "corefile",
    "port",
    "nodeName",
    "stateDir",
    "controlPlane",
  ]);
  if (root["apiVersion"] !== API_VERSION || root["kind"] !== KIND) {
    throw bad(path, "kind", `expected apiVersion: ${API_VERSION}, kind: ${KIND}`);
  }
  const plane = asObject(root["controlPlane"] ?? {}, path, "controlPlane");
  const planeFields = ["address", "caFile", "certificateFile", "keyFile"] as const;
  allowOnly(plane, path, "controlPlane.", planeFields);
  const stream: Record<string, string> = {};
  for (const field of planeFields) copyText(plane, field, { path, prefix: "controlPlane.", into: stream });
  for (const field of ["nodeName", "stateDir"]) copyText(root, field, { path, prefix: "", into: stream });
  const texts: Record<string, string> = {};
  copyText(root, "corefile", { path, prefix: "", into: texts });
  const { port } = root;
  if (port !== undefined && !(Number.isInteger(port) && Number(port) >= 0 && Number(port) <= 65_535)) {
    throw bad(path, "port", "must be a whole number from 0 to 65535");
  }
  return { ...texts, stream, ...(port === undefined ? {} : { port: Number(port) }) };
}

function parseYaml(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new NodeplaneError("FILE_UNREADABLE", { path, detail: (error as Error).message }, error);
  }
  if (text.length > MAX_FILE_BYTES) throw bad(path, "", `larger than ${MAX_FILE_BYTES} bytes`);
  try {
    return parse(text);
  } catch (error) {
    throw bad(path, "", error instanceof Error ? (error.message.split("\n")[0] ?? "") : "not YAML");
  }
}

function asObject(value: unknown, path: string, field: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw bad(path, field, "must be an object");
  return value as Readonly<Record<string, unknown>>;
}

function allowOnly(
  value: Readonly<Record<string, unknown>>,
  path: string,
  prefix: string,
  allowed: readonly string[],
): void {
  for (const key of Object.keys(value)) {
    if (!allowed.includes(key))
      throw bad(path, `${prefix}${key}`, `unknown field; allowed: ${allowed.join(", ")}`);
  }
}

function copyText(
  from: Readonly<Record<string, unknown>>,
  field: string,
  to: { readonly path: string; readonly prefix: string; readonly into: Record<string, string> },
): void {
  const value = from[field];
  if (value === undefined) return;
  if (typeof value !== "string" || value === "") throw bad(to.path, `${to.prefix}${field}`, "must be a text");
  to.into[field] = value;
}

/** The certificate names the node; the host's name is only a guess. */
function nodeNameOf(certificateFile: string): string {
  try {
    const { subject } = new X509Certificate(readFileSync(certificateFile));
    const name = /^CN=(.*)$/m.exec(subject)?.[1] ?? "";
    if (name.startsWith(NODE_PREFIX)) return name.slice(NODE_PREFIX.length);
  } catch {
    // Missing or unreadable: the feed says so when it opens the file.
  }
  return hostname();
}

function bad(path: string, field: string, detail: string): NodeplaneError {
  return new NodeplaneError("CONFIG_INVALID", {
    path,
    detail: field === "" ? detail : `${field}: ${detail}`,
  });
}
