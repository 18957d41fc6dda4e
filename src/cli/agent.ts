/** Layer cli. `nodeplane agent`: reads the configuration, opens the machine and the feed, runs until SIGTERM. */
import { writeFileSync } from "node:fs";
import { Agent } from "../agent/agent.ts";
import { AGENT_HELP } from "../agent/agent-help.ts";
import { systemClock } from "../agent/clock.ts";
import { type LoadedSettings, loadSettings } from "../agent/config/load-settings.ts";
import { setOomScore } from "../agent/host/oom-score.ts";
import { openHost, readNetworkNamespace } from "../agent/host/open-host.ts";
import { createLogger } from "../agent/log.ts";
import { openFeed } from "../agent/open-feed.ts";
import { refuseSecond } from "../agent/status/refuse-second.ts";
import { NodeplaneError } from "../model/errors.ts";
import { VERSION } from "../model/version.ts";
import { cleanupCommand } from "./cleanup.ts";
import type { Command, CommandIo } from "./command.ts";

export const agentCommand: Command = async (args, io) => {
  const loaded = loadSettings(args);
  switch (loaded.kind) {
    case "help":
      io.out(AGENT_HELP);
      return 0;
    case "version":
      io.out(`nodeplane ${VERSION}\n`);
      return 0;
    case "cleanup":
      return await cleanupCommand(["--state-dir", loaded.stateDir, "--socket", loaded.statusSocket], io);
    case "write":
      writeConfig(loaded.path, loaded.text);
      return 0;
    case "settings":
      return await runAgent(loaded, io);
    default:
      return loaded satisfies never;
  }
};

/** @throws {NodeplaneError} COMMAND_FAILED */
function writeConfig(path: string, text: string): void {
  try {
    writeFileSync(path, text, { mode: 0o644 });
  } catch (error) {
    throw new NodeplaneError(
      "COMMAND_FAILED",
      { operation: "write the configuration", path, detail: (error as Error).message },
      error,
    );
  }
}

async function runAgent(
  { settings, documents }: Extract<LoadedSettings, { kind: "settings" }>,
  io: CommandIo,
): Promise<number> {
  const log = createLogger(settings.logLevel);
  await refuseSecond(settings.statusSocket, readNetworkNamespace());
  if (settings.oomScoreAdj !== undefined) setOomScore(settings.oomScoreAdj, log);
  const source = await openFeed(settings, log);
  const host = await openHost(io.env, settings);
  try {
    const configuration = {
      "kubeproxy.config.k8s.io": documents.kubeProxy,
      "nodeplane.dev": documents.agent,
    };
    const agent = new Agent({ settings, configuration, host, source, clock: systemClock, log });
    await agent.run(io.signal);
  } finally {
    host.close();
  }
  return 0;
}
