/**
 * Layer model. The catalogue of error codes. Codes are stable, documented in docs/errors.md (a test compares both),
 * and never reused. Each entry turns the context into one line that says what failed and what to do.
 */
export interface ErrorContext {
  readonly syscall?: string;
  readonly errno?: number;
  readonly operation?: string;
  readonly object?: string;
  readonly path?: string;
  readonly detail?: string;
}

type Message = (context: ErrorContext) => string;

const withDetail = (text: string): Message => {
  return (c) =>
    [
      text,
      c.operation,
      c.object,
      c.path,
      c.syscall === undefined ? undefined : `${c.syscall} errno ${c.errno ?? 0}`,
      c.detail,
    ]
      .filter((part) => part !== undefined && part !== "")
      .join(": ");
};

export const ERRORS = {
  ADDON_MISSING: withDetail("the native addon is not built (run 'sh bin/bootstrap')"),
  NETLINK_FAILED: withDetail("netlink request failed"),
  NFT_UNSUPPORTED: withDetail("this kernel lacks an nf_tables feature that nodeplane needs"),
  IPVS_UNSUPPORTED: withDetail("this kernel does not support ipvs mode"),
  IPTABLES_MISSING: withDetail("iptables is not installed"),
  IPTABLES_FAILED: withDetail("iptables failed"),
  CONFIG_INVALID: withDetail("invalid configuration"),
  FILE_UNREADABLE: withDetail("cannot read"),
  STATE_INVALID: withDetail("persisted state is damaged"),
  STREAM_MALFORMED: withDetail("a message of the node stream cannot be read"),
  STREAM_REFUSED: withDetail("the control plane refused the node stream"),
  STORE_FAILED: withDetail("store operation failed"),
  COMMAND_FAILED: withDetail("command failed"),
} as const satisfies Record<string, Message>;

export type ErrorCode = keyof typeof ERRORS;

/** The one family of errors that drivers and daemons throw; `context` is logged as fields. */
export class NodeplaneError extends Error {
  override readonly name = "NodeplaneError";
  readonly code: ErrorCode;
  readonly context: ErrorContext;

  constructor(code: ErrorCode, context: ErrorContext = {}, cause?: unknown) {
    super(ERRORS[code](context), cause === undefined ? undefined : { cause });
    this.code = code;
    this.context = context;
  }
}
