/** Layer cli. `nodeplane cleanup`: removes what nodeplane installed in this node's kernel, and nothing else. */
import { removeCounters } from "../agent/host/open-accounting.ts";
import { openTables } from "../agent/host/open-host.ts";
import { usedIptables } from "../agent/host/open-iptables.ts";
import { openIpvs } from "../agent/host/open-ipvs.ts";
import { changedSysctlsPath, readChangedSysctls } from "../agent/preconditions/changed-sysctls.ts";
import { cleanup } from "../agent/reconcile/cleanup.ts";
import { cleanupIpvs } from "../agent/reconcile/ipvs/ipvs-cleanup.ts";
import { cleanupIptables } from "../agent/reconcile/other-modes.ts";
import { readStatus } from "../agent/status/read-status.ts";
import { NodeplaneError } from "../model/errors.ts";
import type { Command, CommandIo } from "./command.ts";
import { parseArguments } from "./parse-arguments.ts";

const HELP = `Usage: nodeplane cleanup [--state-dir DIR] [--socket PATH]

Removes everything that any mode of nodeplane ever installed on this node: the nftables tables 'ip nodeplane' and
'ip6 nodeplane', and the KUBE-… chains of iptables mode with the jumps to them, legacy and nft variant, both families
(what a kubelet shares stays while there is one) with their packet counters, and the virtual servers of ipvs mode with the
device kube-ipvs0 and the tables 'ip nodeplane-ipvs' and 'ip6 nodeplane-ipvs'. Tables, chains and rules of others stay as
they are; a chain of ours that a rule of others leads to is emptied and stays. Kernel settings that nodeplane changed are
listed, not changed back, since others may rely on them by now. Run it after the agent was stopped.

  --state-dir DIR   the agent's --state-dir (default /var/lib/nodeplane/agent)
  --socket PATH     the agent's --status-socket (default /run/nodeplane/agent.sock)
`;

export const cleanupCommand: Command = async (args, io) => {
  const options = parse(args);
  if (options.help) {
    io.out(HELP);
    return 0;
  }
  const answer = await readStatus(options.socket);
  if (answer.kind === "status") {
    io.err(
      `nodeplane cleanup: the agent of node ${answer.status.nodeName} runs and would restore its rules: stop it first ('systemctl stop nodeplane-agent')\n`,
    );
    return 1;
  }
  if (process.getuid?.() !== 0) {
    throw new NodeplaneError("CONFIG_INVALID", { detail: "this changes the node's kernel: run it as root" });
  }
  // One that fails is no reason to leave the others.
  const failures = [...(await removeTables(io)), ...(await removeChains(io)), ...(await removeServers(io))];
  const changed = readChangedSysctls(changedSysctlsPath(options["state-dir"]));
  if (changed.length > 0) io.out("kernel settings that nodeplane changed, and what puts them back:\n");
  for (const { path, before, ours } of changed) {
    io.out(`  ${path.replaceAll("/", ".")} = ${ours}    echo ${before} > /proc/sys/${path}\n`);
  }
  for (const { message } of failures) io.err(`nodeplane cleanup: ${message}\n`);
  return failures.length === 0 ? 0 : 1;
};

/** @returns what went wrong in `step`, if something did @throws what is no {@link NodeplaneError} */
async function attempt(step: () => void | Promise<void>): Promise<readonly NodeplaneError[]> {
  try {
    await step();
    return [];
  } catch (error) {
    if (error instanceof NodeplaneError) return [error];
    throw error;
  }
}

async function removeTables(io: CommandIo): Promise<readonly NodeplaneError[]> {
  const tables = openTables();
  const failures: NodeplaneError[] = [];
  try {
    for (const [family, driver] of Object.entries(tables)) {
      const remove = (): void => {
        const had = cleanup(driver);
        io.out(`nftables: table ${family} ${driver.table.name} ${had ? "removed" : "is not there"}\n`);
      };
      failures.push(...(await attempt(remove)));
    }
    return failures;
  } finally {
    tables.ip6.close();
    tables.ip.close();
  }
}

async function removeChains(io: CommandIo): Promise<readonly NodeplaneError[]> {
  const failures: NodeplaneError[] = [];
  for (const driver of await usedIptables()) {
    const name = `${driver.family === "ip" ? "iptables" : "ip6tables"}-${driver.variant}`;
    const remove = async (): Promise<void> => {
      const { had, held } = await cleanupIptables(driver);
      io.out(`${name}: ${had ? "chains removed" : "no chains of nodeplane are there"}\n`);
      if (held.length > 0) io.out(`${name}: empty, but rules of others lead to them: ${held.join(", ")}\n`);
    };
    failures.push(...(await attempt(remove)));
  }
  return [...failures, ...(await attempt(removeCounters))];
}

async function removeServers(io: CommandIo): Promise<readonly NodeplaneError[]> {
  const ipvs = openIpvs();
  try {
    return await attempt(async () => {
      const { had } = await cleanupIpvs(ipvs, false);
      io.out(
        `ipvs: ${had ? "virtual servers, device and tables removed" : "nothing of nodeplane is there"}\n`,
      );
    });
  } finally {
    ipvs.close();
  }
}

function parse(args: readonly string[]): { "state-dir": string; socket: string; help: boolean } {
  return parseArguments("cleanup", {
    args: [...args],
    options: {
      "state-dir": { type: "string", default: "/var/lib/nodeplane/agent" },
      socket: { type: "string", default: "/run/nodeplane/agent.sock" },
      help: { type: "boolean", short: "h", default: false },
    },
  }).values;
}
