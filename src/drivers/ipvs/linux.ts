/**
 * Layer drivers. `LinuxIpvs`: requests over generic netlink, a thousand in a datagram, each acknowledged under a sequence
 * number of its own. The kernel handles them one after another under one lock.
 */
import { setImmediate } from "node:timers/promises";
import { NETLINK_GENERIC } from "../../codec/netlink/ipvs/constants.ts";
import {
  decodeDestination,
  decodeFamilyId,
  decodeInfo,
  decodeService,
  decodeTimeouts,
} from "../../codec/netlink/ipvs/decode.ts";
import {
  encodeDestinationDump,
  encodeGetConfig,
  encodeGetFamily,
  encodeGetInfo,
  encodeIpvsOp,
  encodeServiceDump,
  encodeSetConfig,
} from "../../codec/netlink/ipvs/encode.ts";
import { type NetlinkMessage, NLMSG_ERROR, readError } from "../../codec/netlink/reader.ts";
import { NodeplaneError } from "../../model/errors.ts";
import type { IpAddress } from "../../model/ip.ts";
import type {
  IpvsDestinationState,
  IpvsOp,
  IpvsServerState,
  IpvsService,
  IpvsServiceKey,
  IpvsTimeouts,
} from "../../model/ipvs.ts";
import { ipvsServiceKey } from "../../model/ipvs.ts";
import { errnoName, NfSocket } from "../nftables/socket.ts";
import type { IpvsDriver, IpvsFailure, IpvsSupport } from "./driver.ts";

/** Answers of so many requests (about a kilobyte of socket memory each) fit the receive buffer several times. */
const OPS_A_DATAGRAM = 1_000;
/** Dumps between two turns of the event loop. */
const DUMPS_A_TURN = 100;
const NEEDS_MODULE = "the kernel module ip_vs, which this kernel does not have";
const NEEDS_RIGHT = "CAP_NET_ADMIN";

/** An address of RFC 5737: nobody's. */
const PROBE: Omit<IpvsService, "scheduler"> = {
  family: "ip",
  protocol: 6,
  address: "198.51.100.0" as IpAddress,
  port: 20_000,
  flags: 0,
  timeoutSeconds: 0,
};

export class LinuxIpvs implements IpvsDriver {
  readonly #socket: NfSocket;
  #familyId: number | undefined;

  /** @throws {NodeplaneError} NETLINK_FAILED, ADDON_MISSING */
  constructor() {
    this.#socket = new NfSocket(NETLINK_GENERIC);
  }

  probe(scheduler: string): IpvsSupport {
    const family = this.#resolve();
    if (typeof family !== "number") return family;
    const info = this.#ask("ipvs info", (id, sequence) => encodeGetInfo(this.#socket.writer, id, sequence))(
      decodeInfo,
    );
    const service: IpvsService = { ...PROBE, scheduler };
    const [added] = this.#send([{ op: "add-service", service }]);
    if (added === undefined || added.code === "EEXIST") this.#send([{ op: "delete-service", service }]);
    if (added?.code === "ENOENT")
      return {
        kind: "unsupported",
        needs: `the scheduler "${scheduler}" (kernel module ip_vs_${scheduler})`,
      };
    if (added?.code === "EPERM") return { kind: "unsupported", needs: NEEDS_RIGHT };
    if (added !== undefined && added.code !== "EEXIST")
      throw new NodeplaneError("NETLINK_FAILED", { operation: "probe ipvs", errno: added.errno });
    return { kind: "supported", ...info };
  }

  async read(): Promise<readonly IpvsServerState[]> {
    const states: IpvsServerState[] = [];
    for (const { service, statistics } of this.#services()) {
      states.push({ service, statistics, destinations: this.readDestinations(service) });
      if (states.length % DUMPS_A_TURN === 0) await setImmediate();
    }
    return states;
  }

  readServices(): readonly IpvsService[] {
    return this.#services().map(({ service }) => service);
  }

  readConnections(): ReadonlyMap<string, number> {
    return new Map(
      this.#services().map(({ service, statistics }) => [ipvsServiceKey(service), statistics.connections]),
    );
  }

  readDestinations(service: IpvsServiceKey): readonly IpvsDestinationState[] {
    const id = this.#family();
    let destinations: IpvsDestinationState[] = [];
    this.#dump(
      "dump destinations",
      (sequence) => encodeDestinationDump(this.#socket.writer, id, sequence, service),
      () => {
        destinations = [];
      },
      (buffer, { start, end }) => destinations.push(decodeDestination(buffer, start, end, service.family)),
    );
    return destinations;
  }

  async commit(ops: readonly IpvsOp[]): Promise<readonly IpvsFailure[]> {
    const failures: IpvsFailure[] = [];
    for (let at = 0; at < ops.length; at += OPS_A_DATAGRAM) {
      if (at > 0) await setImmediate();
      for (const failure of this.#send(ops.slice(at, at + OPS_A_DATAGRAM)))
        failures.push({ ...failure, opIndex: failure.opIndex + at });
    }
    return failures;
  }

  readTimeouts(): IpvsTimeouts {
    return this.#ask("read ipvs timeouts", (id, sequence) =>
      encodeGetConfig(this.#socket.writer, id, sequence),
    )(decodeTimeouts);
  }

  writeTimeouts(timeouts: IpvsTimeouts): void {
    const id = this.#family();
    const operation = "set ipvs timeouts";
    const errno = this.#socket.get(
      operation,
      (sequence) => {
        this.#socket.writer.reset();
        encodeSetConfig(this.#socket.writer, id, sequence, timeouts);
      },
      () => {},
    );
    if (errno !== 0) throw refused(operation, errno);
  }

  close(): void {
    this.#socket.close();
  }

  /** The kernel's number of the family, which it makes anew each time that ip_vs is loaded. */
  #resolve(): number | Extract<IpvsSupport, { kind: "unsupported" }> {
    if (this.#familyId !== undefined) return this.#familyId;
    let found: number | undefined;
    const errno = this.#socket.get(
      "find ipvs",
      (sequence) => {
        this.#socket.writer.reset();
        encodeGetFamily(this.#socket.writer, sequence);
      },
      (buffer, { start, end }) => {
        found = decodeFamilyId(buffer, start, end);
      },
    );
    if (errno === 0 && found !== undefined) {
      this.#familyId = found;
      return found;
    }
    if (errnoName(errno) === "ENOENT") return { kind: "unsupported", needs: NEEDS_MODULE };
    if (errnoName(errno) === "EPERM") return { kind: "unsupported", needs: NEEDS_RIGHT };
    throw refused("find ipvs", errno);
  }

  #family(): number {
    const family = this.#resolve();
    if (typeof family === "number") return family;
    throw new NodeplaneError("IPVS_UNSUPPORTED", { detail: `needs ${family.needs}` });
  }

  #services(): readonly Pick<IpvsServerState, "service" | "statistics">[] {
    const id = this.#family();
    let services: Pick<IpvsServerState, "service" | "statistics">[] = [];
    this.#dump(
      "dump virtual servers",
      (sequence) => encodeServiceDump(this.#socket.writer, id, sequence),
      () => {
        services = [];
      },
      (buffer, { start, end }) => {
        const service = decodeService(buffer, start, end);
        if (service !== undefined) services.push(service);
      },
    );
    return services;
  }

  #ask(operation: string, request: (id: number, sequence: number) => void) {
    return <T>(decode: (buffer: Uint8Array, start: number, end: number) => T): T => {
      const id = this.#family();
      let answer: { readonly value: T } | undefined;
      const errno = this.#socket.get(
        operation,
        (sequence) => {
          this.#socket.writer.reset();
          request(id, sequence);
        },
        (buffer, { start, end }) => {
          answer = { value: decode(buffer, start, end) };
        },
      );
      if (answer === undefined) throw refused(operation, errno);
      return answer.value;
    };
  }

  #dump(
    operation: string,
    request: (sequence: number) => void,
    restart: () => void,
    take: (buffer: Uint8Array, message: NetlinkMessage) => void,
  ): void {
    const write = (sequence: number) => {
      this.#socket.writer.reset();
      request(sequence);
    };
    const errno = this.#socket.dump(operation, write, restart, take);
    if (errno !== 0) throw refused(operation, errno);
  }

  #send(ops: readonly IpvsOp[]): readonly IpvsFailure[] {
    if (ops.length === 0) return [];
    const id = this.#family();
    const first = this.#socket.takeSequence(ops.length);
    this.#socket.writer.reset();
    ops.forEach((op, index) => {
      encodeIpvsOp(this.#socket.writer, id, first + index, op);
    });
    const failures: IpvsFailure[] = [];
    let answers = 0;
    const lost = this.#socket.exchange(
      "ipvs requests",
      first,
      first + ops.length - 1,
      (buffer, message) => {
        if (message.type !== NLMSG_ERROR) return;
        answers++;
        const { errno, message: text } = readError(buffer, message);
        if (errno === 0) return;
        const failure = { opIndex: message.sequence - first, errno, code: errnoName(errno) };
        failures.push(text === undefined ? failure : { ...failure, message: text });
      },
      () => answers >= ops.length,
    );
    if (lost)
      throw new NodeplaneError("NETLINK_FAILED", { operation: "ipvs requests", detail: "answers were lost" });
    return failures;
  }
}

function refused(operation: string, errno: number): NodeplaneError {
  return new NodeplaneError("NETLINK_FAILED", { operation, errno, detail: errnoName(errno) });
}
