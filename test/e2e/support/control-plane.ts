/** For tests: the whole control plane daemon in this process, on free ports of loopback, with its own data directory. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../../src/control-plane/config.ts";
import { CONTROLLERS } from "../../../src/control-plane/controllers/index.ts";
import { runControlPlane } from "../../../src/control-plane/daemon.ts";
import type { Kind } from "../../../src/control-plane/registry/kind.ts";
import { withFreePort } from "../../support/free-port.ts";

export interface RunningControlPlane {
  readonly kubeconfig: string;
  /** Warnings and errors of its log. */
  readonly problems: readonly string[];
  stop(): Promise<void>;
}

export async function startControlPlane(kinds: readonly Kind[]): Promise<RunningControlPlane> {
  return await withFreePort((port) => startOn(port, kinds));
}

async function startOn(port: number, kinds: readonly Kind[]): Promise<RunningControlPlane> {
  const dataDir = await mkdtemp(join(tmpdir(), "nodeplane-cp-"));
  const config = loadConfig([
    "--data-dir",
    dataDir,
    "--bind-address",
    "127.0.0.1",
    "--secure-port",
    `${port}`,
    "--stream-port",
    "0",
  ]);
  if (config === "help") throw new Error("unreachable");
  const problems: string[] = [];
  const note = (fields: Readonly<Record<string, unknown>>, message: string): void => {
    problems.push(`${message} ${JSON.stringify(fields)}`);
  };
  const abort = new AbortController();
  const log = { info: () => undefined, warn: note, error: note };
  let running: Promise<void> = Promise.resolve();
  const kubeconfig = await new Promise<string>((resolve, reject) => {
    const onReady = ({ kubeconfigPath }: { kubeconfigPath: string }): void => resolve(kubeconfigPath);
    running = runControlPlane({ config, kinds, controllers: CONTROLLERS, log, onReady }, abort.signal);
    running.catch(reject);
  });
  return {
    kubeconfig,
    problems,
    async stop() {
      abort.abort();
      await running;
      await rm(dataDir, { recursive: true });
    },
  };
}
