/** For tests of the resolver as a process, asked by real clients on loopback. */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { type ResolverProcess, startResolver } from "../../dns-cases/resolver-process.ts";

export const run = promisify(execFile);
/** Objects of a cluster, as `--objects` takes them. */
export const FIXTURE = join(import.meta.dirname, "../../cases/dns-fixture.yaml");
export const KUBERNETES = " kubernetes cluster.local in-addr.arpa ip6.arpa\n";

export const block = (lines: string): string => `.:0 {\n bind 127.0.0.1\n errors\n${lines}}\n`;

export async function withResolver(
  corefile: string,
  flags: readonly string[],
  body: (resolver: ResolverProcess) => Promise<void>,
): Promise<void> {
  const resolver = await startResolver(corefile, flags);
  try {
    await body(resolver);
  } finally {
    assert.equal(await resolver.stop(), 0, resolver.log());
  }
}

export async function dig(port: number, ...args: readonly string[]): Promise<string> {
  const { stdout } = await run("dig", ["@127.0.0.1", "-p", String(port), "+tries=1", "+time=3", ...args]);
  return stdout;
}

export const has = (tool: string): boolean => spawnSync("sh", ["-c", `command -v ${tool}`]).status === 0;
