/**
 * Layer agent. A feed as the agent uses it: with what only one kind of feed has (problems of files, the reporter and
 * counters of the stream) behind optional parts.
 */
import type { Feed, NodeReporter } from "../feed/feed.ts";

export interface AgentFeed {
  readonly feed: Feed;
  /** Only a stream has one. */
  readonly reporter?: NodeReporter;
  /** What is wrong in the source itself, one line each: files that cannot be read, objects that make no sense. */
  readonly problems: () => readonly string[];
  /** Counters of the stream by name. */
  readonly counters: () => Readonly<Record<string, number>>;
  /** For `status`: where objects come from. */
  readonly description: string;
}
