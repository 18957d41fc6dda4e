/** Layer cli. Command table, usage and version. */
import { VERSION } from "../model/version.ts";
import type { Command, CommandIo } from "./command.ts";
import { describeFailure } from "./describe-failure.ts";

interface Entry {
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/** In the order of the usage text. */
const COMMANDS: Readonly<Record<string, Entry>> = {
  "control-plane": {
    summary: "serve the Kubernetes API, run the controllers, feed the nodes",
    load: async () => (await import("./control-plane.ts")).controlPlaneCommand,
  },
  agent: {
    summary: "program this node's kernel from a control plane or from files",
    load: async () => (await import("./agent.ts")).agentCommand,
  },
  certificate: {
    summary: "issue a node's certificate and a ready configuration",
    load: async () => (await import("./certificate.ts")).certificateCommand,
  },
  dns: {
    summary: "answer DNS: names of the cluster, and others through upstream resolvers",
    load: async () => (await import("./dns.ts")).dnsCommand,
  },
  status: {
    summary: "what this node's agent has programmed, and what is wrong",
    load: async () => (await import("./status.ts")).statusCommand,
  },
  plan: {
    summary: "print what the agent would program for some objects",
    load: async () => (await import("./plan.ts")).planCommand,
  },
  cleanup: {
    summary: "remove what nodeplane installed in this node's kernel",
    load: async () => (await import("./cleanup.ts")).cleanupCommand,
  },
  demo: {
    summary: "a narrated tour of a three-node cluster on this machine",
    load: async () => (await import("./demo.ts")).demo,
  },
  lab: {
    summary: "a whole cluster of network namespaces on this machine",
    load: async () => (await import("./lab.ts")).lab,
  },
};

function usage(): string {
  const width = Math.max(0, ...Object.keys(COMMANDS).map((name) => name.length));
  const lines = Object.entries(COMMANDS).map(([name, entry]) => `  ${name.padEnd(width)}  ${entry.summary}`);
  return `Usage: nodeplane COMMAND [options]\n\n${lines.join("\n")}\n\n'nodeplane COMMAND --help' describes a command.\n`;
}

/** `help COMMAND` is `COMMAND --help`. */
function withHelpBehind([name = "--help", ...args]: readonly string[]): readonly [string, ...string[]] {
  const [command] = args;
  return name === "help" && command !== undefined ? [command, "--help"] : [name, ...args];
}

/** Runs the command line. @returns the exit status */
export async function main(argv: readonly string[]): Promise<number> {
  const [name, ...args] = withHelpBehind(argv);
  const abort = new AbortController();
  process.once("SIGTERM", () => abort.abort());
  process.once("SIGINT", () => abort.abort());
  // A reader that went away ('| head') is no failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    process.stderr.write(`nodeplane: cannot write to standard output: ${error.message}\n`);
    process.exit(1);
  });
  const io: CommandIo = {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    isTerminal: process.stdout.isTTY === true,
    env: process.env,
    signal: abort.signal,
  };
  if (name === "--version" || name === "version") {
    io.out(`nodeplane ${VERSION}\n`);
    return 0;
  }
  if (name === "--help" || name === "help" || name === "-h") {
    io.out(usage());
    return 0;
  }
  const entry = COMMANDS[name];
  if (entry === undefined) {
    io.err(`nodeplane: unknown command "${name}"\n\n${usage()}`);
    return 2;
  }
  const command = await entry.load();
  try {
    return await command(args, io);
  } catch (error) {
    const failure = describeFailure(error, process.getuid?.() === 0);
    if (failure === undefined) throw error;
    io.err(`nodeplane ${name}: ${failure.text}\n`);
    return failure.status;
  }
}
