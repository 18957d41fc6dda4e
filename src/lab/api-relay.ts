/** Layer lab. The two relay processes that bring the API from the control plane's namespace to the machine's loopback. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { NodeplaneError } from "../model/errors.ts";
import { CONTROL_PLANE } from "./addresses.ts";
import { NODEPLANE } from "./executable.ts";
import type { LabDir, LabRecord } from "./lab-dir.ts";
import { CONTROL_PLANE_NS } from "./names.ts";
import { findService, logPath, startService } from "./services.ts";

const START_TIMEOUT_MS = 15_000;

function readPort(lab: LabDir): number {
  try {
    return Number(readFileSync(lab.file("relay-port"), "utf8"));
  } catch {
    return 0;
  }
}

/** Starts both, on the port that was used before when there was one. @returns the port on 127.0.0.1 */
export async function startApiRelay(lab: LabDir, record: LabRecord): Promise<number> {
  const socket = lab.file("api.sock");
  await startService(lab, record.mark, "relay-inside", {
    namespace: CONTROL_PLANE_NS,
    argv: [NODEPLANE, "lab", "run-relay", socket, `${CONTROL_PLANE.v4}:6443`],
  });
  const argv = [NODEPLANE, "lab", "run-relay", `127.0.0.1:${readPort(lab)}`, socket, lab.file("relay-port")];
  const relay = await startService(lab, record.mark, "relay", { argv });
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (readPort(lab) === 0) {
    if (findService(lab, "relay") === undefined || Date.now() > deadline) {
      throw new NodeplaneError("COMMAND_FAILED", {
        operation: `API relay (pid ${relay.pid})`,
        detail: `it did not start; see ${logPath(lab, "relay")}`,
      });
    }
    await sleep(20);
  }
  return readPort(lab);
}
