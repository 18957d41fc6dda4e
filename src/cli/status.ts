/** Layer cli. `nodeplane status`: asks the agent of this node. */
import { formatStatus } from "../agent/status/format-status.ts";
import { readStatus } from "../agent/status/read-status.ts";
import { NodeplaneError } from "../model/errors.ts";
import type { Command } from "./command.ts";
import { parseArguments } from "./parse-arguments.ts";

const DEFAULT_SOCKET = "/run/nodeplane/agent.sock";
const HELP = `Usage: nodeplane status [-o json] [--socket PATH]

Shows what this node's agent has programmed, since when and at which revision, which objects were refused and why, what
the machine lacks, and the workloads with their probes.

  -o, --output FORMAT   text (default) or json
  --socket PATH         the agent's --status-socket (default ${DEFAULT_SOCKET})

Exit status: 0 when the agent is ready, 1 when it is not or does not run.
`;

export const statusCommand: Command = async (args, io) => {
  const { output, socket, help } = parse(args);
  if (help) {
    io.out(HELP);
    return 0;
  }
  const answer = await readStatus(socket);
  switch (answer.kind) {
    case "not-running":
      io.err(
        `nodeplane status: no agent runs on this node (nobody answers on ${socket}): start it with 'systemctl start nodeplane-agent'\n`,
      );
      return 1;
    case "failed":
      io.err(`nodeplane status: ${socket}: ${answer.why}\n`);
      return 1;
    case "status":
      io.out(
        output === "json"
          ? `${JSON.stringify(answer.status, undefined, 2)}\n`
          : formatStatus(answer.status, Date.now()),
      );
      return answer.status.ready ? 0 : 1;
    default:
      return answer satisfies never;
  }
};

function parse(args: readonly string[]): { output: string; socket: string; help: boolean } {
  const { values } = parseArguments("status", {
    args: [...args],
    options: {
      output: { type: "string", short: "o", default: "text" },
      socket: { type: "string", default: DEFAULT_SOCKET },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.output !== "text" && values.output !== "json") {
    throw new NodeplaneError("CONFIG_INVALID", {
      detail: `--output: "${values.output}" is not allowed; allowed: text, json`,
    });
  }
  return values;
}
