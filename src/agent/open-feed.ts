/** Layer agent. Makes the feed that the settings ask for. */
import { join } from "node:path";

import { FilesFeed } from "../feed/files/files-feed.ts";
import { type FileProblem, formatFileProblem } from "../feed/files/object-folder.ts";
import { formatKey } from "../model/objects.ts";
import type { AgentFeed } from "./agent-feed.ts";
import type { AgentSettings, Source } from "./config/agent-settings.ts";
import type { Logger } from "./log.ts";

/** @throws {NodeplaneError} CONFIG_INVALID, FILE_UNREADABLE */
export async function openFeed(settings: AgentSettings, log: Logger): Promise<AgentFeed> {
  const { source } = settings;
  switch (source.kind) {
    case "files":
      return filesFeed(source.path, log);
    case "stream":
      return await streamFeed(source, settings, log);
    default:
      return source satisfies never;
  }
}

/** Loads gRPC only where it is used: standalone agents start without it. */
async function streamFeed(
  source: Extract<Source, { kind: "stream" }>,
  { nodeName, stateDir }: AgentSettings,
  log: Logger,
): Promise<AgentFeed> {
  const { StreamFeed } = await import("../feed/stream/stream-feed.ts");
  let lastProblem = "";
  const feed = new StreamFeed({
    address: source.address,
    caFile: source.caFile,
    certificateFile: source.certificateFile,
    keyFile: source.keyFile,
    nodeName,
    role: "agent",
    stateDir: join(stateDir, "stream"),
    onProblem: (message) => {
      if (message !== lastProblem) log.warn({ address: source.address }, message);
      lastProblem = message;
    },
  });
  return {
    feed,
    reporter: feed,
    problems: () =>
      feed.problems.map(({ object, reason, message }) => `${formatKey(object)}: ${reason}: ${message}`),
    counters: () => ({ ...feed.counters }),
    description: `node stream of ${source.address}`,
  };
}

function filesFeed(path: string, log: Logger): AgentFeed {
  let problems: readonly string[] = [];
  const onProblems = (found: readonly FileProblem[]): void => {
    const before = new Set(problems);
    problems = found.map(formatFileProblem);
    for (const problem of problems) if (!before.has(problem)) log.warn({ path }, problem);
  };
  return {
    feed: new FilesFeed({ path, onProblems }),
    problems: () => problems,
    counters: () => ({}),
    description: `files ${path}`,
  };
}
