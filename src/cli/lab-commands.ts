/** Layer cli. The commands of `nodeplane lab` that a person uses. Parses arguments; the work is in src/lab. */
import { MAX_NODES, nodeNames } from "../lab/addresses.ts";
import { deletePod } from "../lab/delete-pod.ts";
import { labDown } from "../lab/down.ts";
import { execInside } from "../lab/exec.ts";
import { LabDir, type LabOptions } from "../lab/lab-dir.ts";
import { defaultReadiness, parseLabels, parsePorts, parseReadiness } from "../lab/pod-manifest.ts";
import { checkPod, type PodSpec, startPod } from "../lab/pods.ts";
import { requirePrograms, SYSTEM_PATH } from "../lab/programs.ts";
import { labStatus } from "../lab/status.ts";
import { labUp } from "../lab/up.ts";
import { ensureNamespace, waitPodReady } from "../lab/wait-pod.ts";
import { NodeplaneError } from "../model/errors.ts";
import type { Command, CommandIo } from "./command.ts";
import { parseArguments } from "./parse-arguments.ts";

const USAGE = `Usage: nodeplane lab up [--nodes N] [--mode nftables|iptables|ipvs] [--dual-stack]
           start a cluster of namespaces on this machine (default: 3 nodes, nftables)
       nodeplane lab down
           end it and leave nothing behind
       nodeplane lab status
           what runs, with addresses
       nodeplane lab kubeconfig
           path of a kubeconfig for kubectl on this machine
       nodeplane lab pod NAME --node nodeN [--namespace NS] [--labels k=v,…] [--ports 8080/tcp,53/udp]
               [--readiness tcp:PORT|http:PORT/PATH|exec:COMMAND|none] [--no-wait] [-- COMMAND …]
           start a workload; without a command an echo server on every port
       nodeplane lab delete-pod NAME [--namespace NS] [--now]
           take it out of its Services, then end it (--now: end it at once)
       nodeplane lab exec nodeN|POD|client|control-plane -- COMMAND …
           run a command there, with that place's resolver

Every command takes --name L (default "lab"): labs of different names run side by side.
State is kept in /run/nodeplane-lab (environment: NODEPLANE_LAB_BASE).
`;

const OPTIONS = {
  name: { type: "string", default: "lab" },
  nodes: { type: "string" },
  mode: { type: "string" },
  "dual-stack": { type: "boolean" },
  node: { type: "string" },
  namespace: { type: "string", default: "default" },
  labels: { type: "string", default: "" },
  ports: { type: "string", default: "" },
  readiness: { type: "string" },
  "no-wait": { type: "boolean", default: false },
  now: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

/** Which options each subcommand takes besides --name and --help, and how many names. */
const TAKES: Readonly<
  Record<string, { readonly options: readonly string[]; readonly names: number; readonly command?: boolean }>
> = {
  up: { options: ["nodes", "mode", "dual-stack"], names: 0 },
  down: { options: [], names: 0 },
  status: { options: [], names: 0 },
  kubeconfig: { options: [], names: 0 },
  pod: { options: ["node", "namespace", "labels", "ports", "readiness", "no-wait"], names: 1, command: true },
  "delete-pod": { options: ["namespace", "now"], names: 1 },
  exec: { options: [], names: 1, command: true },
};

function usageError(detail: string): never {
  throw new NodeplaneError("CONFIG_INVALID", { detail: `${detail}; see 'nodeplane lab --help'` });
}

function parse(sub: string, args: readonly string[]) {
  const takes = TAKES[sub];
  if (takes === undefined) return usageError(`there is no "lab ${sub}"`);
  const dashes = args.indexOf("--");
  const own = dashes < 0 ? args : args.slice(0, dashes);
  const command = dashes < 0 ? [] : args.slice(dashes + 1);
  const parsed = parseArguments("lab", {
    args: [...own],
    options: OPTIONS,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of parsed.tokens) {
    if (token.kind === "option" && !["name", "help", ...takes.options].includes(token.name))
      usageError(`"lab ${sub}" takes no ${token.rawName}`);
  }
  if (!parsed.values.help && parsed.positionals.length !== takes.names) {
    usageError(takes.names === 0 ? `"lab ${sub}" takes no names` : `"lab ${sub}" takes one name`);
  }
  if (command.length > 0 && takes.command !== true) usageError(`"lab ${sub}" takes no command`);
  return { values: parsed.values, target: parsed.positionals[0] ?? "", command };
}

type Values = ReturnType<typeof parse>["values"];

function labOptions(values: Values): Partial<LabOptions> {
  const { nodes, mode } = values;
  if (nodes !== undefined && !(/^\d{1,3}$/.test(nodes) && Number(nodes) >= 1 && Number(nodes) <= MAX_NODES)) {
    usageError(`--nodes "${nodes}" is not allowed; use 1 to ${MAX_NODES}`);
  }
  if (mode !== undefined && mode !== "nftables" && mode !== "iptables" && mode !== "ipvs") {
    return usageError(`--mode "${mode}" is not allowed; use nftables, iptables or ipvs`);
  }
  return {
    ...(nodes === undefined ? {} : { nodes: Number(nodes) }),
    ...(mode === undefined ? {} : { mode }),
    ...(values["dual-stack"] === undefined ? {} : { dualStack: values["dual-stack"] }),
  };
}

async function podCommand(
  lab: LabDir,
  name: string,
  values: Values,
  command: readonly string[],
  io: CommandIo,
): Promise<number> {
  const record = lab.require();
  const ports = parsePorts(values.ports);
  const spec: PodSpec = {
    name,
    namespace: values.namespace,
    node: values.node ?? usageError(`"lab pod" needs --node, one of ${nodeNames(record.nodes).join(", ")}`),
    labels: parseLabels(values.labels),
    ports,
    command,
    readiness:
      values.readiness === undefined ? defaultReadiness(ports, command) : parseReadiness(values.readiness),
  };
  checkPod(lab, record, spec);
  await ensureNamespace(lab, spec.namespace);
  const pod = await startPod(lab, record, spec);
  if (!values["no-wait"]) await waitPodReady(lab, pod, io.signal);
  io.out(`pod ${pod.namespace}/${pod.name} on ${pod.node} at ${pod.ips.join(", ")}\n`);
  return 0;
}

export const labCommand: Command = async (args, io) => {
  const [sub = "--help", ...rest] = args;
  if (sub === "--help" || sub === "-h" || sub === "help") {
    io.out(USAGE);
    return 0;
  }
  const { values, target, command } = parse(sub, rest);
  if (values.help) {
    io.out(USAGE);
    return 0;
  }
  if (process.getuid?.() !== 0) usageError("a lab is made of network namespaces: run this as root");
  const dir = new LabDir(values.name, io.env["NODEPLANE_LAB_BASE"] ?? "/run/nodeplane-lab");
  switch (sub) {
    case "up":
      requirePrograms(`${io.env["PATH"] ?? ""}:${SYSTEM_PATH}`);
      await labUp(dir, labOptions(values), (line) => io.out(`${line}\n`), io.signal);
      return 0;
    case "down":
      io.out(
        (await labDown(dir))
          ? `lab "${dir.name}" is down, nothing is left of it\n`
          : `there is no lab "${dir.name}"\n`,
      );
      return 0;
    case "status":
      return labStatus(dir, io);
    case "kubeconfig":
      dir.require();
      io.out(`${dir.file("kubeconfig")}\n`);
      return 0;
    case "pod":
      return await podCommand(dir, target, values, command, io);
    case "delete-pod":
      await deletePod(dir, target, values.namespace, values.now, io.signal);
      io.out(`pod ${target} is gone\n`);
      return 0;
    default:
      if (command.length === 0) usageError(`"lab exec ${target}" needs a command behind --`);
      return await execInside(dir, dir.require(), target, command);
  }
};
