/**
 * Layer drivers. `LinuxDummy`: requests over a route socket of the addon, a thousand in a datagram, each acknowledged under a
 * sequence number of its own. Synchronous but for a turn of the event loop between datagrams.
 */
import { setImmediate } from "node:timers/promises";
import { NLMSG_ERROR, readError } from "../../codec/netlink/reader.ts";
import {
  type AddressChange,
  decodeAddress,
  decodeLink,
  encodeAddressChange,
  encodeAddressDump,
  encodeDeleteLink,
  encodeGetLink,
  encodeNewLink,
  NETLINK_ROUTE,
} from "../../codec/netlink/route/device.ts";
import type { NetlinkWriter } from "../../codec/netlink/writer.ts";
import { NodeplaneError } from "../../model/errors.ts";
import type { IpAddress } from "../../model/ip.ts";
import { errnoName, NfSocket } from "../nftables/socket.ts";
import type { AddressFailure, DummyDriver } from "./dummy.ts";

const KIND = "dummy";
const CHANGES_A_DATAGRAM = 1_000;
/** Reached already: added by an earlier run, or removed together with something else. */
const HARMLESS = { add: "EEXIST", remove: "EADDRNOTAVAIL" } as const;

export class LinuxDummy implements DummyDriver {
  readonly name: string;
  readonly #socket: NfSocket;

  /** @param name at most 15 characters @throws {NodeplaneError} NETLINK_FAILED, ADDON_MISSING */
  constructor(name: string) {
    this.name = name;
    this.#socket = new NfSocket(NETLINK_ROUTE);
  }

  read(): readonly IpAddress[] | undefined {
    const index = this.#index();
    if (index === undefined) return undefined;
    let found: IpAddress[] = [];
    const errno = this.#socket.dump(
      "dump addresses",
      (sequence) => {
        this.#socket.writer.reset();
        encodeAddressDump(this.#socket.writer, sequence);
      },
      () => {
        found = [];
      },
      (buffer, { start, end }) => {
        const address = decodeAddress(buffer, start, end, index);
        if (address !== undefined) found.push(address);
      },
    );
    if (errno !== 0) throw refused("dump addresses", errno);
    return found;
  }

  create(): void {
    const errno = this.#ask("make the device", (writer, sequence) =>
      encodeNewLink(writer, sequence, this.name, KIND),
    );
    if (errno === 0) return;
    const code = errnoName(errno);
    if (code === "EOPNOTSUPP")
      throw new NodeplaneError("IPVS_UNSUPPORTED", {
        detail: "needs the kernel module dummy, which this kernel does not have",
      });
    // Somebody else was quicker, or it is another kind of device, which this tells.
    if (code === "EEXIST" && this.#index() !== undefined) return;
    throw refused("make the device", errno);
  }

  async commit(changes: readonly AddressChange[]): Promise<readonly AddressFailure[]> {
    if (changes.length === 0) return [];
    const index = this.#index();
    if (index === undefined) throw this.#unfit("the device is gone");
    const failures: AddressFailure[] = [];
    for (let at = 0; at < changes.length; at += CHANGES_A_DATAGRAM) {
      if (at > 0) await setImmediate();
      this.#send(index, changes.slice(at, at + CHANGES_A_DATAGRAM), at, failures);
    }
    return failures;
  }

  remove(): boolean {
    if (this.#index() === undefined) return false;
    const errno = this.#ask("remove the device", (writer, sequence) =>
      encodeDeleteLink(writer, sequence, this.name),
    );
    if (errno !== 0 && errnoName(errno) !== "ENODEV") throw refused("remove the device", errno);
    return true;
  }

  close(): void {
    this.#socket.close();
  }

  #index(): number | undefined {
    let found: ReturnType<typeof decodeLink> | undefined;
    const errno = this.#ask(
      "find the device",
      (writer, sequence) => encodeGetLink(writer, sequence, this.name),
      (buffer, start, end) => {
        found = decodeLink(buffer, start, end);
      },
    );
    if (errnoName(errno) === "ENODEV") return undefined;
    if (errno !== 0 || found === undefined) throw refused("find the device", errno);
    if (found.kind !== KIND) throw this.#unfit(`is no ${KIND} device: rename it`);
    return found.index;
  }

  /** One request with one answer. @returns 0 or a positive errno */
  #ask(
    operation: string,
    request: (writer: NetlinkWriter, sequence: number) => void,
    take: (buffer: Uint8Array, start: number, end: number) => void = () => {},
  ): number {
    return this.#socket.get(
      operation,
      (sequence) => {
        this.#socket.writer.reset();
        request(this.#socket.writer, sequence);
      },
      (buffer, { start, end }) => take(buffer, start, end),
    );
  }

  #send(index: number, changes: readonly AddressChange[], offset: number, failures: AddressFailure[]): void {
    const { writer } = this.#socket;
    const first = this.#socket.takeSequence(changes.length);
    writer.reset();
    changes.forEach((change, i) => {
      encodeAddressChange(writer, first + i, index, change);
    });
    let answers = 0;
    const lost = this.#socket.exchange(
      "change addresses",
      first,
      first + changes.length - 1,
      (buffer, message) => {
        if (message.type !== NLMSG_ERROR) return;
        answers++;
        const { errno } = readError(buffer, message);
        const at = message.sequence - first;
        const code = errnoName(errno);
        if (errno === 0 || code === HARMLESS[changes[at]?.op ?? "add"]) return;
        failures.push({ index: offset + at, errno, code });
      },
      () => answers >= changes.length,
    );
    if (lost)
      throw new NodeplaneError("NETLINK_FAILED", {
        operation: "change addresses",
        detail: "answers were lost",
      });
  }

  #unfit(detail: string): NodeplaneError {
    return new NodeplaneError("NETLINK_FAILED", { path: this.name, detail });
  }
}

function refused(operation: string, errno: number): NodeplaneError {
  return new NodeplaneError("NETLINK_FAILED", { operation, errno, detail: errnoName(errno) });
}
