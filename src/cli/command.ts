/**
 * Layer cli. What a command of the executable is. A command's module is loaded only when it is called.
 */
export interface CommandIo {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** True when standard output is a terminal: colours and progress are allowed. */
  readonly isTerminal: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborts at SIGTERM or SIGINT. */
  readonly signal: AbortSignal;
}

/** Runs with the arguments behind the command's name; resolves to the exit status (2 for usage and configuration errors). */
export type Command = (args: readonly string[], io: CommandIo) => Promise<number>;
