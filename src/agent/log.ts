/** Layer agent. The agent's log: JSON lines on standard error, one for each thing that happened. */
import pino, { type Logger } from "pino";

export type { Logger } from "pino";

/** Writes synchronously, so that the last words before an exit are not lost; the agent logs changes, not packets. */
export function createLogger(level: string): Logger {
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 2, sync: true }),
  );
}
