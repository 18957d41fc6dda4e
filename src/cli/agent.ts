/** Layer cli. `nodeplane agent`: reads the configuration, opens the machine and the feed, runs until SIGTERM. */
import { Agent } from "../agent/agent.ts";
import { AGENT_HELP } from "../agent/agent-help.ts";
import { systemClock } from "../agent/clock.ts";
import { loadSettings } from "../agent/config/load-settings.ts";
import { setOomScore } from "../agent/host/oom-score.ts";
import { openHost } from "../agent/host/open-host.ts";
import { createLogger } from "../agent/log.ts";
import { openFeed } from "../agent/open-feed.ts";
import type { Command } from "./command.ts";

export const agentCommand: Command = async (args, io) => {
  const loaded = loadSettings(args);
  if (loaded.kind === "help") {
    io.out(AGENT_HELP);
    return 0;
  }
  const { settings, values } = loaded;
  const log = createLogger(settings.logLevel);
  if (settings.oomScoreAdj !== undefined) setOomScore(settings.oomScoreAdj, log);
  const source = await openFeed(settings, log);
  const host = await openHost(io.env, settings);
  try {
    const configuration = Object.fromEntries(values.entries());
    const agent = new Agent({ settings, configuration, host, source, clock: systemClock, log });
    await agent.run(io.signal);
  } finally {
    host.close();
  }
  return 0;
};
