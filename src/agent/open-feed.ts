/** Layer agent. Makes the feed that the settings ask for. What it will read is looked at first: a mistake here must not change the machine. */
import { access } from "node:fs/promises";
import { join } from "node:path";

import { FilesFeed } from "../feed/files/files-feed.ts";
import { type FileProblem, formatFileProblem } from "../feed/files/object-folder.ts";
import { NodeplaneError } from "../model/errors.ts";
import { formatKey } from "../model/objects.ts";
import type { AgentFeed } from "./agent-feed.ts";
import type { AgentSettings, Source } from "./config/agent-settings.ts";
import type { Logger } from "./log.ts";

/** @throws {NodeplaneError} CONFIG_INVALID, FILE_UNREADABLE */
export async function openFeed(settings: AgentSettings, log: Logger): Promise<AgentFeed> {
  const { source } = settings;
  switch (source.kind) {
    case "files":
      return await filesFeed(source.path, log);
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
  const { checkKeys } = await import("../feed/stream/connection.ts");
  await checkKeys(source);
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

async function filesFeed(path: string, log: Logger): Promise<AgentFeed> {
  await access(path).catch((error: unknown) => {
    throw new NodeplaneError(
      "FILE_UNREADABLE",
      { path, detail: error instanceof Error ? error.message : "" },
      error,
    );
  });
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
