/** Layer cli. `nodeplane plan`: prints what the agent would program for some objects. Touches nothing but the files it reads. */
import { loadSettings } from "../agent/config/load-settings.ts";
import { nodeConfig } from "../agent/host/node-config.ts";
import { formatFileProblem, ObjectFolder } from "../feed/files/object-folder.ts";
import { NodeplaneError } from "../model/errors.ts";
import { parseIp } from "../model/ip.ts";
import { type FeedObject, formatKey } from "../model/objects.ts";
import { planText } from "../plan/plan-text.ts";
import type { Command } from "./command.ts";

const HELP = `Usage: nodeplane plan -f FILE [-f FILE …] [--node-name NODE] [--mode MODE] [options of the agent]

Prints what the agent of NODE would program for the objects in FILE (YAML or JSON lines, a file or a folder): for mode
nftables a script for 'nft -f', for mode iptables the input of 'iptables-restore --noflush' and 'ip6tables-restore
--noflush', for mode ipvs that of 'ip -batch', 'ipvsadm -R' and 'nft -f', one part each. Touches nothing. Objects that
would be refused are named on standard error.

  -f FILE            Services, EndpointSlices, Nodes …; a Node named NODE gives addresses, zone and pod range
  --node-name NODE   the node to plan for (default: the host name)
  --mode MODE        nftables, iptables or ipvs
  --node-ip A,B      addresses of the node, where FILE has no Node object for it

Other flags of 'nodeplane agent' (--config, --cluster-cidr, --nodeport-addresses, --masquerade-all …) work here too.
Exit status: 0, or 1 when a file has objects that make no sense.
`;

export const planCommand: Command = async (args, io) => {
  const { files, rest } = splitArguments(args);
  const [first] = files;
  const loaded = loadSettings([...rest, ...(first === undefined ? [] : ["--objects", first])]);
  if (loaded.kind !== "settings") {
    io.out(HELP);
    return 0;
  }
  const { settings } = loaded;
  const { objects, problems } = await readObjects(files);
  const node = objects.find((object) => object.kind === "Node" && object.meta.name === settings.nodeName);
  const loopback = ["127.0.0.1", "::1"].map(parseIp).filter((address) => address !== undefined);
  const known = node?.kind === "Node" ? node : undefined;
  const addresses = {
    all: [...loopback, ...(known?.internalIPs ?? []), ...settings.nodeAddresses],
    primary: [],
  };
  const plan = planText(
    objects,
    nodeConfig(settings, addresses, known),
    settings.mode,
    settings.ipvs.scheduler,
  );
  for (const problem of problems) io.err(`nodeplane plan: ${problem}\n`);
  for (const { object, reason, field, message } of plan.problems) {
    io.err(
      `nodeplane plan: ${formatKey(object)}: ${reason}: ${field === "" ? "" : `${field}: `}${message}\n`,
    );
  }
  io.out(plan.text);
  return problems.length > 0 ? 1 : 0;
};

/** Takes `-f` out and gives the agent's name to `--mode`. */
function splitArguments(args: readonly string[]): {
  readonly files: readonly string[];
  readonly rest: readonly string[];
} {
  const files: string[] = [];
  const rest: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? "";
    const match = /^(?:-f|--filename)(?:=(.*))?$/s.exec(arg);
    if (match === null) {
      rest.push(arg.replace(/^--mode(?==|$)/, "--proxy-mode"));
      continue;
    }
    const file = match[1] ?? args[++i];
    if (file === undefined)
      throw new NodeplaneError("CONFIG_INVALID", { path: "-f", detail: "needs a file or folder" });
    files.push(file);
  }
  const isHelp = rest.includes("--help") || rest.includes("-h");
  if (files.length === 0 && !isHelp) {
    throw new NodeplaneError("CONFIG_INVALID", {
      path: "-f",
      detail: "say which objects: -f FILE; see 'nodeplane plan --help'",
    });
  }
  return { files, rest };
}

async function readObjects(
  files: readonly string[],
): Promise<{ readonly objects: readonly FeedObject[]; readonly problems: readonly string[] }> {
  const objects = new Map<string, FeedObject>();
  const problems: string[] = [];
  for (const file of files) {
    try {
      const state = await new ObjectFolder(file).read();
      for (const [key, object] of state.objects) if (!objects.has(key)) objects.set(key, object);
      problems.push(...state.problems.map(formatFileProblem));
    } catch (error) {
      throw new NodeplaneError("FILE_UNREADABLE", { path: file, detail: (error as Error).message }, error);
    }
  }
  return { objects: [...objects.values()], problems };
}
