/**
 * Layer cli. `nodeplane lab`: a whole cluster on one machine. The lab starts many small programs of its own (echo servers, relays,
 * connection generators: `lab run-…`, not in the usage); they load only what they need.
 */
import type { Command } from "./command.ts";

export const lab: Command = async (args, io) => {
  const [sub = "", first = "", second = "", third] = args;
  switch (sub) {
    case "run-echo": {
      const { serveEcho } = await import("../lab/echo.ts");
      await serveEcho({ name: first, node: second }, io.signal);
      return 0;
    }
    case "run-relay": {
      const { runRelay } = await import("../lab/relay.ts");
      await runRelay({ from: first, to: second, portFile: third }, io.signal);
      return 0;
    }
    case "run-traffic": {
      const { runTrafficProgram } = await import("../lab/traffic.ts");
      await runTrafficProgram(first, io.out, io.signal);
      return 0;
    }
    default: {
      const { labCommand } = await import("./lab-commands.ts");
      return await labCommand(args, io);
    }
  }
};
