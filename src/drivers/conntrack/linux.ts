/**
 * Layer drivers. `LinuxConntrack`: ctnetlink over a socket of its own. A dump is read in pieces with turns of the event loop
 * between, since a table can have a million entries and services must not wait for it.
 */
import { setImmediate } from "node:timers/promises";
import { encodeFlowDelete, encodeFlowDump, readFlow } from "../../codec/netlink/conntrack/flow.ts";
import { NETLINK_NETFILTER } from "../../codec/netlink/nftables/constants.ts";
import { NLMSG_DONE, NLMSG_ERROR, readError, readMessages } from "../../codec/netlink/reader.ts";
import { NetlinkWriter } from "../../codec/netlink/writer.ts";
import { NodeplaneError } from "../../model/errors.ts";
import type { IpFamily } from "../../model/ip.ts";
import { addon, isSystemError, type NetlinkSocket } from "../addon.ts";
import type { ConntrackDriver, Flow } from "./driver.ts";

/** About five hundred entries: two milliseconds of work. */
const READ_BYTES = 131_072;
const SOCKET_BYTES = 1 << 20;
const ANSWER_TIMEOUT_MS = 5_000;
/** Deletions in one datagram; their answers fit the socket's buffer. */
const DELETE_CHUNK = 256;
/** Entries kept of one dump: what is left over is found by the next one. */
const MAX_FOUND = 200_000;
const ENOENT = 2;
const ENOBUFS_CODE = "ENOBUFS";

export class LinuxConntrack implements ConntrackDriver {
  readonly #writer = new NetlinkWriter(4096);
  readonly #received = new Uint8Array(READ_BYTES);
  #socket: NetlinkSocket | undefined;
  #sequence = 1;
  /** One conversation at a time. */
  #last: Promise<unknown> = Promise.resolve();

  find(family: IpFamily, protocol: number, wanted: (flow: Flow) => boolean): Promise<readonly Flow[]> {
    return this.#alone(() => this.#find(family, protocol, wanted));
  }

  delete(flows: readonly Flow[]): Promise<number> {
    return this.#alone(async () => {
      let deleted = 0;
      for (let at = 0; at < flows.length; at += DELETE_CHUNK) {
        deleted += await this.#delete(flows.slice(at, at + DELETE_CHUNK));
      }
      return deleted;
    });
  }

  close(): void {
    if (this.#socket !== undefined) addon().netlinkClose(this.#socket);
    this.#socket = undefined;
  }

  #alone<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#last.then(action);
    this.#last = result.catch(() => {});
    return result;
  }

  async #find(family: IpFamily, protocol: number, wanted: (flow: Flow) => boolean): Promise<readonly Flow[]> {
    const found: Flow[] = [];
    const sequence = this.#sequence++;
    this.#writer.reset();
    encodeFlowDump(this.#writer, family, protocol, sequence);
    await this.#converse("dump conntrack", (message) => {
      if (message.sequence !== sequence) return false;
      if (message.type === NLMSG_DONE) return true;
      if (message.type === NLMSG_ERROR) throw refused("dump conntrack", message.errno);
      const flow = readFlow(this.#received, message.start, message.end, family);
      if (flow?.original.protocol === protocol && found.length < MAX_FOUND && wanted(flow)) found.push(flow);
      return false;
    });
    return found;
  }

  async #delete(flows: readonly Flow[]): Promise<number> {
    const first = this.#sequence;
    this.#writer.reset();
    for (const flow of flows) encodeFlowDelete(this.#writer, flow, this.#sequence++);
    let answers = 0;
    let deleted = 0;
    await this.#converse("delete conntrack entries", (message) => {
      if (message.sequence < first || message.type !== NLMSG_ERROR) return false;
      answers++;
      if (message.errno === 0) deleted++;
      else if (message.errno !== ENOENT) throw refused("delete conntrack entries", message.errno);
      return answers === flows.length;
    });
    return deleted;
  }

  /** Sends the writer's content and reads until `take` says that it was the last message. */
  async #converse(operation: string, take: (message: Message) => boolean): Promise<void> {
    let bytes = this.#writer.length;
    try {
      this.#socket ??= addon().netlinkOpen(NETLINK_NETFILTER, SOCKET_BYTES, SOCKET_BYTES);
      for (;;) {
        const { bytes: request } = this.#writer;
        const got = addon().netlinkTransact(this.#socket, request, bytes, this.#received, ANSWER_TIMEOUT_MS);
        bytes = 0;
        if (got === 0)
          throw new NodeplaneError("NETLINK_FAILED", { operation, detail: "the kernel did not answer" });
        for (const message of readMessages(this.#received, got)) {
          const isError = message.type === NLMSG_ERROR;
          const errno = isError ? readError(this.#received, message).errno : 0;
          if (take({ ...message, errno })) return;
        }
        await setImmediate();
      }
    } catch (error) {
      // What is still queued would disturb the next conversation.
      this.close();
      if (error instanceof NodeplaneError || !isSystemError(error)) throw error;
      const detail = error.code === ENOBUFS_CODE ? "answers were lost" : undefined;
      throw new NodeplaneError(
        "NETLINK_FAILED",
        {
          operation,
          syscall: error.syscall,
          errno: error.errno,
          ...(detail === undefined ? {} : { detail }),
        },
        error,
      );
    }
  }
}

interface Message {
  readonly type: number;
  readonly sequence: number;
  readonly start: number;
  readonly end: number;
  readonly errno: number;
}

function refused(operation: string, errno: number): NodeplaneError {
  return new NodeplaneError("NETLINK_FAILED", { operation, errno });
}
