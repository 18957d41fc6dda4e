/** Layer drivers. `LinuxAccounting`: nfnetlink_acct over a socket of its own, opened when it is first needed. */
import {
  encodeCounterDelete,
  encodeCounterDump,
  encodeCounterNew,
  readCounter,
} from "../../codec/netlink/accounting.ts";
import { NETLINK_NETFILTER } from "../../codec/netlink/nftables/constants.ts";
import {
  type NetlinkMessage,
  NLMSG_DONE,
  NLMSG_ERROR,
  readError,
  readMessages,
} from "../../codec/netlink/reader.ts";
import { NetlinkWriter } from "../../codec/netlink/writer.ts";
import { NodeplaneError } from "../../model/errors.ts";
import { addon, isSystemError, type NetlinkSocket } from "../addon.ts";
import type { AccountingDriver } from "./driver.ts";

const SOCKET_BYTES = 65_536;
const ANSWER_TIMEOUT_MS = 2_000;
const EEXIST = 17;
const EBUSY = 16;

export class LinuxAccounting implements AccountingDriver {
  readonly #writer = new NetlinkWriter(256);
  readonly #received = new Uint8Array(SOCKET_BYTES);
  #socket: NetlinkSocket | undefined;
  #sequence = 1;

  ensure(name: string): boolean {
    const errno = this.#acknowledged("make a packet counter", (sequence) =>
      encodeCounterNew(this.#writer, name, sequence),
    );
    return errno === 0 || errno === EBUSY || errno === EEXIST;
  }

  remove(name: string): boolean {
    return (
      this.#acknowledged("remove a packet counter", (sequence) =>
        encodeCounterDelete(this.#writer, name, sequence),
      ) === 0
    );
  }

  packets(): ReadonlyMap<string, number> {
    const found = new Map<string, number>();
    const sequence = this.#sequence++;
    this.#writer.reset();
    encodeCounterDump(this.#writer, sequence);
    this.#converse("read packet counters", sequence, (message) => {
      if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) return true;
      const { name, packets } = readCounter(this.#received, message.start, message.end);
      found.set(name, packets);
      return false;
    });
    return found;
  }

  close(): void {
    if (this.#socket !== undefined) addon().netlinkClose(this.#socket);
    this.#socket = undefined;
  }

  #acknowledged(operation: string, encode: (sequence: number) => void): number {
    const sequence = this.#sequence++;
    this.#writer.reset();
    encode(sequence);
    let errno = -1;
    this.#converse(operation, sequence, (message) => {
      if (message.type !== NLMSG_ERROR) return false;
      ({ errno } = readError(this.#received, message));
      return true;
    });
    return errno;
  }

  /** Sends the writer's content and reads until `take` says that it was the last message. */
  #converse(operation: string, sequence: number, take: (message: NetlinkMessage) => boolean): void {
    try {
      this.#socket ??= addon().netlinkOpen(NETLINK_NETFILTER, SOCKET_BYTES, SOCKET_BYTES);
      let bytes = this.#writer.length;
      for (;;) {
        const { bytes: request } = this.#writer;
        const got = addon().netlinkTransact(this.#socket, request, bytes, this.#received, ANSWER_TIMEOUT_MS);
        bytes = 0;
        if (got === 0)
          throw new NodeplaneError("NETLINK_FAILED", { operation, detail: "the kernel did not answer" });
        for (const message of readMessages(this.#received, got))
          if (message.sequence === sequence && take(message)) return;
      }
    } catch (error) {
      // What is still queued would disturb the next conversation.
      this.close();
      if (error instanceof NodeplaneError || !isSystemError(error)) throw error;
      const { syscall, errno } = error;
      throw new NodeplaneError("NETLINK_FAILED", { operation, syscall, errno }, error);
    }
  }
}
