/**
 * For tests: every kubectl to test with. Those on PATH and in NODEPLANE_KUBECTLS (blank-separated paths), and Debian
 * 12's (1.20), unpacked below .cache/ and never installed.
 */
import { execFile } from "node:child_process";
import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { kubectls } from "./api-server.ts";
import { unpackDebian } from "./debian-package.ts";

const run = promisify(execFile);

export interface Kubectl {
  readonly path: string;
  /** Of the client: minor version 32 of 1.32. */
  readonly minor: number;
  readonly version: string;
}

/** Sorted by version, one of each version. @returns an empty list when none is found */
export async function findKubectls(): Promise<readonly Kubectl[]> {
  const debian = await debianKubectl();
  const paths = [...kubectls(), ...(debian === undefined ? [] : [debian])];
  const found = new Map<string, Kubectl>();
  for (const path of paths) {
    const kubectl = await describe(await realpath(path));
    if (kubectl !== undefined && !found.has(kubectl.version)) found.set(kubectl.version, kubectl);
  }
  return [...found.values()].toSorted((a, b) => a.minor - b.minor);
}

async function describe(path: string): Promise<Kubectl | undefined> {
  try {
    const { stdout } = await run(path, ["version", "--client", "-o", "json"], { timeout: 20_000 });
    const { clientVersion } = JSON.parse(stdout) as { clientVersion: { gitVersion: string; minor: string } };
    return { path, version: clientVersion.gitVersion, minor: Number.parseInt(clientVersion.minor, 10) };
  } catch {
    return undefined;
  }
}

/** Debian's kubernetes-client, where apt can fetch it; `undefined` elsewhere. */
async function debianKubectl(): Promise<string | undefined> {
  const file = "usr/bin/kubectl";
  const folder = await unpackDebian("kubernetes-client", file).catch(() => undefined);
  return folder === undefined ? undefined : join(folder, file);
}
