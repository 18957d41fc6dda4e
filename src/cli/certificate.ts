/** Layer cli. `nodeplane certificate node NAME`: a node's certificate and a ready configuration. */
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import { issueNodeCertificate } from "../control-plane/pki/pki.ts";
import { writeWhole } from "../control-plane/pki/secret-file.ts";
import { NodeplaneError } from "../model/errors.ts";
import type { Command } from "./command.ts";
import { parseArguments } from "./parse-arguments.ts";

const HELP = `Usage: nodeplane certificate node NAME [options]

Issues a certificate for the node NAME and writes into the output folder: ca.crt, node.crt, node.key (0600),
agent.yaml (for 'nodeplane agent --config') and dns.flags (for 'nodeplane dns'). Copy them to the node.

  --data-dir DIR      data directory of the control plane (default /var/lib/nodeplane/control-plane)
  --out DIR           output folder (default ./NAME)
  --node-dir DIR      where the files will lie on the node (default /etc/nodeplane/pki)
  --server HOST:PORT  node stream of the control plane, written into the configuration (default localhost:6444)
  --days N            how long the certificate is valid, 1 to 3650 (default 365)
`;

const NODE_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

interface Request {
  readonly node: string;
  readonly dataDir: string;
  readonly out: string;
  readonly nodeDir: string;
  readonly server: string;
  readonly days: number;
}

export const certificateCommand: Command = async (args, io) => {
  const request = readRequest(args);
  if (request === "help") {
    io.out(HELP);
    return 0;
  }
  const issued = await issueNodeCertificate(request.dataDir, request.node, { days: request.days });
  const out = (name: string): string => join(request.out, name);
  await writeWhole(out("node.key"), issued.node.keyPem);
  await writeWhole(out("ca.crt"), issued.authorityPem, 0o644);
  await writeWhole(out("node.crt"), issued.node.certificatePem, 0o644);
  await writeWhole(out("agent.yaml"), agentConfig(request), 0o644);
  await writeWhole(out("dns.flags"), dnsFlags(request), 0o644);
  io.out(`certificate of node ${request.node} and its configuration are in ${request.out}\n`);
  return 0;
};

function fail(detail: string): never {
  throw new NodeplaneError("CONFIG_INVALID", { detail });
}

function readRequest(args: readonly string[]): Request | "help" {
  const { values, positionals } = parse(args);
  if (values.help === true) return "help";
  const [what, node = "", ...rest] = positionals;
  if (what !== "node" || rest.length > 0)
    fail("say 'certificate node NAME'; see 'nodeplane certificate --help'");
  if (!NODE_NAME.test(node)) fail(`NAME must be a DNS name in lower case, not "${node}"`);
  const server = values.server ?? "localhost:6444";
  if (!/^.+:\d{1,5}$/.test(server)) fail(`--server must be HOST:PORT, not "${server}"`);
  const days = Number(values.days ?? "365");
  if (!Number.isInteger(days) || days < 1 || days > 3650)
    fail(`--days must be a whole number from 1 to 3650, not "${values.days ?? ""}"`);
  return {
    node,
    server,
    days,
    dataDir: values["data-dir"] ?? "/var/lib/nodeplane/control-plane",
    out: resolve(values.out ?? node),
    nodeDir: values["node-dir"] ?? "/etc/nodeplane/pki",
  };
}

function parse(args: readonly string[]) {
  return parseArguments("certificate", {
    args: [...args],
    allowPositionals: true,
    options: {
      "data-dir": { type: "string" },
      out: { type: "string" },
      "node-dir": { type: "string" },
      server: { type: "string" },
      days: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
}

/** Two documents, as docs/configuration.md describes. */
function agentConfig(request: Request): string {
  const proxy = {
    apiVersion: "kubeproxy.config.k8s.io/v1alpha1",
    kind: "KubeProxyConfiguration",
    hostnameOverride: request.node,
  };
  const agent = {
    apiVersion: "nodeplane.dev/v1alpha1",
    kind: "AgentConfiguration",
    controlPlane: {
      address: request.server,
      caFile: join(request.nodeDir, "ca.crt"),
      certificateFile: join(request.nodeDir, "node.crt"),
      keyFile: join(request.nodeDir, "node.key"),
    },
  };
  return `${stringify(proxy)}---\n${stringify(agent)}`;
}

/** One line of flags, for a unit's environment file or a shell. */
function dnsFlags(request: Request): string {
  const flags = {
    "control-plane": request.server,
    "ca-file": join(request.nodeDir, "ca.crt"),
    "certificate-file": join(request.nodeDir, "node.crt"),
    "key-file": join(request.nodeDir, "node.key"),
  };
  return `${Object.entries(flags)
    .map(([flag, value]) => `--${flag}=${value}`)
    .join(" ")}\n`;
}
