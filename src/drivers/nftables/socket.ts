/**
 * Layer drivers. One netlink socket to nf_tables: sequence numbers, request and answer, dumps that are redone when the
 * kernel marks them as disturbed. Buffers are made once and reused; nothing here is re-entrant.
 */
import { getSystemErrorName } from "node:util";
import { NETLINK_NETFILTER } from "../../codec/netlink/nftables/constants.ts";
import {
  type NetlinkMessage,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  readError,
  readMessages,
  viewOf,
} from "../../codec/netlink/reader.ts";
import { NetlinkWriter } from "../../codec/netlink/writer.ts";
import { NodeplaneError } from "../../model/errors.ts";
import { addon, isSystemError, type NetlinkSocket } from "../addon.ts";

/** A batch is one datagram: this bounds it (30,000 services at once are some 17 MB). */
const SEND_BYTES = 64 << 20;
/** Room for the error replies of some ten thousand failed operations. */
const RECEIVE_BYTES = 16 << 20;
const READ_BYTES = 1 << 20;
const ANSWER_TIMEOUT_MS = 10_000;
const DUMP_ATTEMPTS = 20;

/** Name of a positive errno. */
export function errnoName(errno: number): string {
  // libuv calls it by the other name; netfilter people know this one.
  if (errno === 95) return "EOPNOTSUPP";
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `E${errno}`;
  }
}

/** Wraps what the addon threw. */
function failed(error: unknown, operation: string): NodeplaneError {
  if (error instanceof NodeplaneError) return error;
  if (!isSystemError(error))
    return new NodeplaneError("NETLINK_FAILED", { operation, detail: String(error) }, error);
  return new NodeplaneError(
    "NETLINK_FAILED",
    { operation, syscall: error.syscall, errno: error.errno },
    error,
  );
}

export class NfSocket {
  /** Where requests are written before {@link exchange} and {@link dump}. */
  readonly writer = new NetlinkWriter();
  readonly #received = new Uint8Array(READ_BYTES);
  readonly #socket: NetlinkSocket;
  #sequence = 1;

  /**
   * @param protocol NETLINK_NETFILTER, or NETLINK_GENERIC for the driver of IPVS
   * @throws {NodeplaneError} NETLINK_FAILED, ADDON_MISSING
   */
  constructor(protocol = NETLINK_NETFILTER) {
    try {
      this.#socket = addon().netlinkOpen(protocol, SEND_BYTES, RECEIVE_BYTES);
    } catch (error) {
      throw failed(error, protocol === NETLINK_NETFILTER ? "open nf_tables socket" : "open netlink socket");
    }
  }

  /** Port id by which the kernel names this socket in notifications. */
  get port(): number {
    return addon().netlinkPort(this.#socket);
  }

  /** Takes `count` sequence numbers. @returns the first */
  takeSequence(count: number): number {
    if (this.#sequence + count > 0x7fffffff) this.#sequence = 1;
    const first = this.#sequence;
    this.#sequence += count;
    return first;
  }

  close(): void {
    addon().netlinkClose(this.#socket);
  }

  /**
   * Sends the writer's content and hands every answer with a sequence number in [first, last] to `take`, until
   * nothing is queued and `done` agrees.
   * @returns `true` when answers were lost (ENOBUFS), which says nothing about the outcome
   * @throws {NodeplaneError} NETLINK_FAILED
   */
  exchange(
    operation: string,
    first: number,
    last: number,
    take: (buffer: Uint8Array, message: NetlinkMessage) => void,
    done: () => boolean,
  ): boolean {
    let lost = false;
    let sendBytes = this.writer.length;
    for (;;) {
      let got = 0;
      try {
        const timeout = done() ? 0 : ANSWER_TIMEOUT_MS;
        got = addon().netlinkTransact(this.#socket, this.writer.bytes, sendBytes, this.#received, timeout);
      } catch (error) {
        if (!isSystemError(error) || error.code !== "ENOBUFS" || error.syscall !== "recv")
          throw failed(error, operation);
        lost = true;
        sendBytes = 0;
        continue;
      }
      sendBytes = 0;
      if (got === 0) {
        if (done() || lost) return lost;
        throw new NodeplaneError("NETLINK_FAILED", { operation, detail: "the kernel did not answer" });
      }
      for (const message of readMessages(this.#received, got)) {
        if (message.sequence >= first && message.sequence <= last) take(this.#received, message);
      }
      // A nearly full buffer may have left datagrams in the queue.
      if (done() && got < READ_BYTES - 131_072) return lost;
    }
  }

  /**
   * Runs the dump that `request` writes, as often as it takes to see one undisturbed state; `restart` is called before
   * each attempt.
   * @returns 0, or the errno with which the kernel refused
   * @throws {NodeplaneError} NETLINK_FAILED
   */
  dump(
    operation: string,
    request: (sequence: number) => void,
    restart: () => void,
    take: (buffer: Uint8Array, message: NetlinkMessage) => void,
  ): number {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      const sequence = this.takeSequence(1);
      request(sequence);
      restart();
      let finished = false;
      let disturbed = false;
      let errno = 0;
      this.exchange(
        operation,
        sequence,
        sequence,
        (buffer, message) => {
          if ((message.flags & NLM_F_DUMP_INTR) !== 0) disturbed = true;
          if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
            finished = true;
            errno =
              message.type === NLMSG_ERROR ? readError(buffer, message).errno : doneErrno(buffer, message);
          } else if (!disturbed) take(buffer, message);
        },
        () => finished,
      );
      const interrupted = errnoName(errno) === "EINTR";
      if (!disturbed && !interrupted) return errno;
    }
    throw new NodeplaneError("NETLINK_FAILED", {
      operation,
      detail: "every dump was interrupted by changes",
    });
  }

  /** One request with one answer. @returns 0 and calls `take`, or the errno with which the kernel refused */
  get(
    operation: string,
    request: (sequence: number) => void,
    take: (buffer: Uint8Array, message: NetlinkMessage) => void,
  ): number {
    const sequence = this.takeSequence(1);
    request(sequence);
    let answered = false;
    let errno = 0;
    this.exchange(
      operation,
      sequence,
      sequence,
      (buffer, message) => {
        answered = true;
        if (message.type === NLMSG_ERROR) errno = readError(buffer, message).errno;
        else take(buffer, message);
      },
      () => answered,
    );
    return errno;
  }
}

/** NLMSG_DONE carries 0 or a negative errno. */
function doneErrno(buffer: Uint8Array, message: NetlinkMessage): number {
  if (message.end - message.start < 4) return 0;
  return Math.max(0, -viewOf(buffer).getInt32(message.start, true));
}
