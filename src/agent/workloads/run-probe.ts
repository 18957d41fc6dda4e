/**
 * Layer agent. Carries out one probe and says what it saw; never throws. Bounded in time by the probe's timeout and in
 * bytes by constants. Which address is asked is the caller's to say.
 */
import { connect } from "node:net";
import { probeExec } from "./probe-exec.ts";
import { probeGrpc } from "./probe-grpc.ts";
import { probeHttp } from "./probe-http.ts";
import type { ProbeAction, ProbeSpec } from "./probe-spec.ts";
import type { ProbeResult } from "./probe-state.ts";

export interface Seen {
  readonly result: ProbeResult;
  /** One line, for events and status. */
  readonly message: string;
}

export interface ProbeTarget {
  /** The pod's address. */
  readonly address: string;
  /** Path of the network namespace in which exec probes run. */
  readonly netns?: string;
}

/** How probes are carried out; a test gives its own. */
export type RunProbe = (spec: ProbeSpec, target: ProbeTarget, signal: AbortSignal) => Promise<Seen>;

export const runProbe: RunProbe = async (spec, target, signal) => {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(spec.timeoutSeconds * 1000)]);
  try {
    return await runAction(spec.action, target, limit);
  } catch (error) {
    if (limit.aborted && !signal.aborted) return failure(`no answer within ${spec.timeoutSeconds} s`);
    return failure(error instanceof Error ? error.message : String(error));
  }
};

function runAction(action: ProbeAction, target: ProbeTarget, signal: AbortSignal): Promise<Seen> {
  switch (action.kind) {
    case "httpGet":
      return probeHttp(action, target.address, signal);
    case "tcpSocket":
      return probeTcp(action.host || target.address, action.port, signal);
    case "exec":
      return probeExec(action.command, target.netns, signal);
    case "grpc":
      return probeGrpc({ host: target.address, port: action.port, service: action.service }, signal);
    default:
      return action satisfies never;
  }
}

function failure(message: string): Seen {
  return { result: "failure", message };
}

function probeTcp(host: string, port: number, signal: AbortSignal): Promise<Seen> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, signal });
    socket.once("connect", () => {
      socket.destroy();
      resolve({ result: "success", message: `connected to ${host} port ${port}` });
    });
    socket.once("error", reject);
  });
}
