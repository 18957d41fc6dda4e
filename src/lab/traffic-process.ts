/** Layer lab. Runs the connection generator inside a namespace of the lab as a child of this process. */
import { spawn } from "node:child_process";
import { NodeplaneError } from "../model/errors.ts";
import { findTarget } from "./exec.ts";
import { NODEPLANE } from "./executable.ts";
import type { LabDir } from "./lab-dir.ts";
import { enter, labEnvironment } from "./namespaces.ts";
import type { TrafficPlan, TrafficResult } from "./traffic.ts";

/** A generator that runs until {@link Traffic.stop}. */
export interface Traffic {
  /** Ends it, or waits for its end when the plan has a count. */
  readonly stop: () => Promise<TrafficResult>;
  /** Resolves when the plan's count is reached. */
  readonly done: Promise<TrafficResult>;
}

export const TRAFFIC_DEFAULTS = {
  protocol: "tcp",
  count: 0,
  parallel: 8,
  perSecond: 0,
  timeoutMs: 5000,
} as const;

export type PartialPlan = Partial<TrafficPlan> & Pick<TrafficPlan, "targets">;

/** Starts a generator at `target` (node, pod, client); resolves once its first attempts are under way. */
export function startTraffic(lab: LabDir, target: string, plan: PartialPlan): Promise<Traffic> {
  const record = lab.require();
  const argv = [NODEPLANE, "lab", "run-traffic", JSON.stringify({ ...TRAFFIC_DEFAULTS, ...plan })];
  const [file = "", ...args] = enter(findTarget(lab, record, target), argv);
  const child = spawn(file, args, {
    stdio: ["ignore", "pipe", "inherit"],
    env: labEnvironment(lab, record.mark),
  });
  return new Promise((resolve, reject) => {
    let text = "";
    const done = new Promise<TrafficResult>((finish, fail) => {
      child.on("close", () => {
        try {
          finish(JSON.parse(text.slice(text.indexOf("{"))) as TrafficResult);
        } catch (cause) {
          fail(
            new NodeplaneError(
              "COMMAND_FAILED",
              { operation: `traffic from ${target}`, detail: text.slice(0, 200) },
              cause,
            ),
          );
        }
      });
    });
    done.catch(() => {});
    const stop = (): Promise<TrafficResult> => {
      child.kill("SIGTERM");
      return done;
    };
    child.on("error", reject);
    child.on("exit", () => resolve({ stop, done }));
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      text += part;
      resolve({ stop, done }); // the first line says that it began
    });
  });
}

/** Makes `plan.count` attempts and waits for the result. */
export async function runTraffic(
  lab: LabDir,
  target: string,
  plan: PartialPlan & { readonly count: number },
): Promise<TrafficResult> {
  return await (await startTraffic(lab, target, plan)).done;
}
