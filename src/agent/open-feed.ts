/** Layer agent. Makes the feed that the settings ask for. */

import { FilesFeed } from "../feed/files/files-feed.ts";
import { type FileProblem, formatFileProblem } from "../feed/files/object-folder.ts";
import { NodeplaneError } from "../model/errors.ts";
import type { AgentFeed } from "./agent-feed.ts";
import type { Source } from "./config/agent-settings.ts";
import type { Logger } from "./log.ts";

/** @throws {NodeplaneError} CONFIG_INVALID, FILE_UNREADABLE */
export function openFeed(source: Source, log: Logger): AgentFeed {
  switch (source.kind) {
    case "files":
      return filesFeed(source.path, log);
    case "stream":
      throw new NodeplaneError("CONFIG_INVALID", {
        detail: "the node stream is not wired yet; use --objects",
      });
    default:
      return source satisfies never;
  }
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
