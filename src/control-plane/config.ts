/**
 * Layer control-plane. The configuration of the control plane: defaults, a YAML file, then flags. Everything is checked
 * before anything is opened; the first thing wrong is one line that names file or flag, field and what is allowed.
 */
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { parseArgs } from "node:util";
import { parseDocument } from "yaml";
import { NodeplaneError } from "../model/errors.ts";
import { formatCidr, ipFamily, parseCidr, parseIp } from "../model/ip.ts";

export interface ControlPlaneConfig {
  readonly dataDir: string;
  readonly bindAddress: string;
  readonly advertiseAddress: string;
  readonly securePort: number;
  readonly streamPort: number;
  readonly serviceCidrs: readonly string[];
  readonly podCidrs: readonly string[];
  readonly nodePortRange: { readonly from: number; readonly to: number };
  readonly clusterDomain: string;
  /** Further names and addresses in the server's certificate. */
  readonly tlsSans: readonly string[];
  /** Seconds without a sign of life after which a node counts as not ready. */
  readonly nodeGracePeriodSeconds: number;
  /** Nodes take this store's state even if it removes most of what they have. */
  readonly authoritativeSnapshots: boolean;
  readonly logLevel: string;
}

export const HELP = `Usage: nodeplane control-plane [options]

Serves the Kubernetes API for Services and what belongs to them, runs the controllers, and feeds the nodes.

  --config FILE               YAML: apiVersion nodeplane.dev/v1alpha1, kind ControlPlaneConfiguration, and the
                              options below in camelCase (dataDir, bindAddress, ...); flags win
  --data-dir DIR              state, certificates and admin.kubeconfig (default /var/lib/nodeplane/control-plane)
  --bind-address IP           where to listen (default 0.0.0.0; [::] for both families)
  --advertise-address IP      where others reach this server (default: the bind address, else the first address here)
  --secure-port PORT          HTTPS API (default 6443; 0 takes a free one)
  --stream-port PORT          node stream, gRPC (default 6444; 0 takes a free one)
  --service-cidr CIDR[,CIDR]  one a family, the first is the default family (default 10.96.0.0/12)
  --pod-cidr CIDR[,CIDR]      (default 10.244.0.0/16)
  --node-port-range FROM-TO   (default 30000-32767)
  --cluster-domain NAME       (default cluster.local)
  --tls-san NAME[,NAME]       further names or addresses in the server's certificate
  --node-monitor-grace-period SECONDS
                              silence after which a node is not ready and its endpoints leave (default 40)
  --authoritative-snapshots true|false
                              true: nodes take this store's state even if it removes most of what they have (after
                              a store was restored or begun anew on purpose; default false)
  --log-level LEVEL           debug, info, warn, error (default info)
`;

const LEVELS = ["debug", "info", "warn", "error"];
const DOMAIN = /^(?=.{1,200}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const API_VERSION = "nodeplane.dev/v1alpha1";
const KIND = "ControlPlaneConfiguration";

/** A value where it was found: what messages call it. */
interface Given {
  readonly where: string;
  readonly value: unknown;
}

type Name =
  | "data-dir"
  | "bind-address"
  | "advertise-address"
  | "secure-port"
  | "stream-port"
  | "service-cidr"
  | "pod-cidr"
  | "node-port-range"
  | "cluster-domain"
  | "tls-san"
  | "node-monitor-grace-period"
  | "authoritative-snapshots"
  | "log-level";

/** Flag and, in camelCase, key of the file. */
const NAMES: Readonly<Record<Name, string>> = {
  "data-dir": "dataDir",
  "bind-address": "bindAddress",
  "advertise-address": "advertiseAddress",
  "secure-port": "securePort",
  "stream-port": "streamPort",
  "service-cidr": "serviceCidr",
  "pod-cidr": "podCidr",
  "node-port-range": "nodePortRange",
  "cluster-domain": "clusterDomain",
  "tls-san": "tlsSan",
  "node-monitor-grace-period": "nodeMonitorGracePeriod",
  "authoritative-snapshots": "authoritativeSnapshots",
  "log-level": "logLevel",
};
const FLAGS = Object.keys(NAMES) as Name[];

/** @throws {NodeplaneError} CONFIG_INVALID, FILE_UNREADABLE */
export function loadConfig(args: readonly string[]): ControlPlaneConfig | "help" {
  const flags = readFlags(args);
  if (flags === "help") return "help";
  const file = flags.config === undefined ? new Map<Name, Given>() : readFile(flags.config);
  const given = new Map([...file, ...flags.given]);
  const bindAddress = address(given.get("bind-address")) ?? "0.0.0.0";
  return {
    dataDir: text(given.get("data-dir")) ?? "/var/lib/nodeplane/control-plane",
    bindAddress,
    advertiseAddress: address(given.get("advertise-address")) ?? ownAddress(bindAddress),
    securePort: port(given.get("secure-port")) ?? 6443,
    streamPort: port(given.get("stream-port")) ?? 6444,
    serviceCidrs: cidrs(given.get("service-cidr"), { ip: [8, 28], ip6: [64, 124] }) ?? ["10.96.0.0/12"],
    podCidrs: cidrs(given.get("pod-cidr"), { ip: [8, 24], ip6: [16, 64] }) ?? ["10.244.0.0/16"],
    nodePortRange: portRange(given.get("node-port-range")) ?? { from: 30_000, to: 32_767 },
    clusterDomain: domain(given.get("cluster-domain")) ?? "cluster.local",
    tlsSans: names(given.get("tls-san")) ?? [],
    nodeGracePeriodSeconds: seconds(given.get("node-monitor-grace-period")) ?? 40,
    authoritativeSnapshots: truth(given.get("authoritative-snapshots")) ?? false,
    logLevel: level(given.get("log-level")) ?? "info",
  };
}

function truth(given: Given | undefined): boolean | undefined {
  if (given === undefined) return undefined;
  if (given.value === true || given.value === "true") return true;
  if (given.value === false || given.value === "false") return false;
  return invalid(`${given.where}: ${JSON.stringify(given.value)} is not allowed: must be true or false`);
}

function invalid(detail: string): never {
  throw new NodeplaneError("CONFIG_INVALID", { detail });
}

interface Flags {
  readonly config: string | undefined;
  readonly given: ReadonlyMap<Name, Given>;
}

function readFlags(args: readonly string[]): Flags | "help" {
  const strings = Object.fromEntries(FLAGS.map((name) => [name, { type: "string" as const }]));
  const options = {
    ...strings,
    config: { type: "string" as const },
    help: { type: "boolean" as const, short: "h" },
  };
  let values: Readonly<Record<string, string | boolean | undefined>>;
  try {
    ({ values } = parseArgs({ args: [...args], options, allowPositionals: false }));
  } catch (error) {
    const [detail] = (error instanceof Error ? error.message : String(error)).split(/\. |\n/);
    return invalid(`${detail}; see 'nodeplane control-plane --help'`);
  }
  if (values["help"] === true) return "help";
  const given = new Map<Name, Given>();
  for (const name of FLAGS) {
    const value = values[name];
    if (value !== undefined) given.set(name, { where: `--${name}`, value });
  }
  const { config } = values;
  return { config: typeof config === "string" ? config : undefined, given };
}

function readFile(path: string): ReadonlyMap<Name, Given> {
  let source: string;
  try {
    source = readFileSync(path, "utf8");
  } catch (error) {
    throw new NodeplaneError(
      "FILE_UNREADABLE",
      { path, detail: String((error as { code?: unknown }).code) },
      error,
    );
  }
  const document = parseDocument(source, { uniqueKeys: true });
  const [wrong] = document.errors;
  if (wrong !== undefined) invalid(`${path}: ${wrong.message.split("\n")[0] ?? ""}`);
  const root: unknown = document.toJS({ maxAliasCount: 10 });
  if (typeof root !== "object" || root === null || Array.isArray(root))
    invalid(`${path}: must be a map of options`);
  const { apiVersion, kind, ...rest } = root as Record<string, unknown>;
  if (apiVersion !== API_VERSION) invalid(`${path}: apiVersion must be ${API_VERSION}`);
  if (kind !== KIND) invalid(`${path}: kind must be ${KIND}`);
  const given = new Map<Name, Given>();
  for (const [key, value] of Object.entries(rest)) {
    const name = FLAGS.find((flag) => NAMES[flag] === key);
    if (name === undefined)
      invalid(`${path}: unknown key ${JSON.stringify(key)}: allowed are ${Object.values(NAMES).join(", ")}`);
    given.set(name, { where: `${path}: ${key}`, value });
  }
  return given;
}

function refuse({ where, value }: Given, allowed: string): never {
  return invalid(`${where}: ${JSON.stringify(value)} is not allowed: must be ${allowed}`);
}

function text(given: Given | undefined): string | undefined {
  if (given === undefined) return undefined;
  return typeof given.value === "string" && given.value !== "" ? given.value : refuse(given, "text");
}

function address(given: Given | undefined): string | undefined {
  const value = text(given);
  if (value === undefined || given === undefined) return undefined;
  return parseIp(value.replace(/^\[(.*)\]$/, "$1")) ?? refuse(given, "an IP address");
}

function port(given: Given | undefined): number | undefined {
  if (given === undefined) return undefined;
  const number = /^\d{1,5}$/.test(String(given.value)) ? Number(given.value) : Number.NaN;
  return number <= 65_535 ? number : refuse(given, "a port, 0 to 65535");
}

/** `40` and `40s`, as kube-controller-manager's option of that name has it. */
function seconds(given: Given | undefined): number | undefined {
  if (given === undefined) return undefined;
  const found = /^(\d{1,5})s?$/.exec(String(given.value));
  const count = Number(found?.[1] ?? Number.NaN);
  return count >= 1 && count <= 86_400 ? count : refuse(given, "seconds, 1 to 86400");
}

function portRange(given: Given | undefined): { from: number; to: number } | undefined {
  if (given === undefined) return undefined;
  const found = /^(\d{1,5})-(\d{1,5})$/.exec(String(given.value));
  const from = Number(found?.[1] ?? Number.NaN);
  const to = Number(found?.[2] ?? Number.NaN);
  return from >= 1 && from <= to && to <= 65_535
    ? { from, to }
    : refuse(given, "FROM-TO, ports of 1 to 65535");
}

function names(given: Given | undefined): readonly string[] | undefined {
  if (given === undefined) return undefined;
  const list: readonly unknown[] = Array.isArray(given.value) ? given.value : String(given.value).split(",");
  const isName = (value: unknown): value is string =>
    typeof value === "string" && (parseIp(value) !== undefined || DOMAIN.test(value.replace(/^\*\./, "")));
  return list.every(isName) ? list : refuse(given, "DNS names or IP addresses, separated by commas");
}

function cidrs(
  given: Given | undefined,
  bits: Readonly<Record<"ip" | "ip6", readonly [number, number]>>,
): readonly string[] | undefined {
  if (given === undefined) return undefined;
  const list: readonly unknown[] = Array.isArray(given.value) ? given.value : String(given.value).split(",");
  const parsed = list.map((value) => (typeof value === "string" ? parseCidr(value) : undefined));
  const families = new Set<string>();
  for (const cidr of parsed) {
    const family = cidr === undefined ? undefined : ipFamily(cidr.address);
    const [shortest, longest] = family === undefined ? [0, 0] : bits[family];
    if (cidr === undefined || family === undefined || families.has(family)) {
      refuse(given, "one CIDR, or two of different families separated by a comma");
    }
    if (cidr.prefixBits < shortest || cidr.prefixBits > longest) {
      refuse(
        given,
        `CIDRs with a prefix of /${bits.ip[0]} to /${bits.ip[1]} (IPv4), /${bits.ip6[0]} to /${bits.ip6[1]} (IPv6)`,
      );
    }
    families.add(family);
  }
  return parsed.map((cidr) => (cidr === undefined ? "" : formatCidr(cidr)));
}

function domain(given: Given | undefined): string | undefined {
  const value = text(given)?.replace(/\.$/, "");
  if (value === undefined || given === undefined) return undefined;
  return DOMAIN.test(value) ? value : refuse(given, "a DNS name in lower case");
}

function level(given: Given | undefined): string | undefined {
  const value = text(given);
  if (value === undefined || given === undefined) return undefined;
  return LEVELS.includes(value) ? value : refuse(given, `one of ${LEVELS.join(", ")}`);
}

/** An address that others may reach: the bind address, else the first of this machine, else loopback. */
function ownAddress(bindAddress: string): string {
  if (bindAddress !== "0.0.0.0" && bindAddress !== "::") return bindAddress;
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outside = all.filter(({ internal, address: found }) => !internal && !found.startsWith("fe80"));
  return (outside.find(({ family }) => family === "IPv4") ?? outside[0])?.address ?? "127.0.0.1";
}
