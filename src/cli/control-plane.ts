/** Layer cli. `nodeplane control-plane`: reads the configuration and runs the control plane until SIGTERM. */
import pino from "pino";
import { HELP, loadConfig } from "../control-plane/config.ts";
import { CONTROLLERS } from "../control-plane/controllers/index.ts";
import { runControlPlane } from "../control-plane/daemon.ts";
import { KINDS } from "../control-plane/kinds/index.ts";
import { SystemdNotify } from "../drivers/notify/index.ts";
import type { Command } from "./command.ts";

export const controlPlaneCommand: Command = async (args, io) => {
  const config = loadConfig(args);
  if (config === "help") {
    io.out(HELP);
    return 0;
  }
  const log = pino(
    { level: config.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 2, sync: true }),
  );
  const notify = new SystemdNotify(io.env, process.pid);
  await runControlPlane(
    {
      config,
      kinds: KINDS,
      controllers: CONTROLLERS,
      log,
      onReady: (ready) => {
        log.info({ ...ready }, "ready");
        notify.notify("READY=1", `STATUS=Serving on port ${ready.securePort}`);
      },
      onStopping: () => notify.notify("STOPPING=1"),
    },
    io.signal,
  );
  return 0;
};
