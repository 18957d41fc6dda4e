/**
 * Layer control-plane. The node stream over gRPC with mutual TLS. A node's certificate names it, and it can speak for
 * itself alone. Messages go as bytes: they were encoded before.
 */
import {
  status as GrpcStatus,
  logVerbosity,
  Server,
  type ServerDuplexStream,
  setLogVerbosity,
} from "@grpc/grpc-js";
import {
  decodeNodeMessage,
  type Hello,
  type NodeMessage,
  type NodeRole,
} from "../../codec/stream/node-message.ts";
import {
  encodeReportAgain,
  encodeReportTaken,
  encodeWelcome,
  MAX_MESSAGE_BYTES,
} from "../../codec/stream/server-message.ts";
import { NodeplaneError } from "../../model/errors.ts";
import { VERSION } from "../../model/version.ts";
import type { NodeSession } from "./node-session.ts";
import { RenewableCredentials, type ServerKeys } from "./renewable-credentials.ts";
import { type NodeReport, ReportAssembly } from "./report-assembly.ts";
import type { NodeReportSink } from "./report-sink.ts";
import type { StreamHub } from "./stream-hub.ts";

export interface NodeStreamServerOptions {
  readonly hub: StreamHub;
  readonly sink: NodeReportSink;
  /** `host:port`; port 0 takes a free one. */
  readonly address: string;
  readonly keys: ServerKeys;
  /** Something went wrong with one node; the stream may go on. */
  readonly onError?: (node: string, error: unknown) => void;
}

type Call = ServerDuplexStream<Buffer, Buffer>;

const NODE_PREFIX = "system:node:";
const NODE_GROUP = "system:nodes";
/** A stream that says nothing is ended. */
const HELLO_MS = 10_000;
/** A report of which a part could not be written is asked for again, with growing waits. */
const AGAIN_MS = 1000;
const MAX_AGAIN_MS = 300_000;
const identity = (bytes: Buffer): Buffer => bytes;

const SERVICE = {
  connect: {
    path: "/nodeplane.v1.NodeStream/Connect",
    requestStream: true,
    responseStream: true,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  },
} as const;

export class NodeStreamServer {
  readonly #options: NodeStreamServerOptions;
  readonly #credentials: RenewableCredentials;
  readonly #server: Server;

  constructor(options: NodeStreamServerOptions) {
    this.#options = options;
    this.#credentials = new RenewableCredentials(options.keys);
    // Its own log on standard error is no line of ours, and says nothing that errors do not.
    setLogVerbosity(logVerbosity.NONE);
    this.#server = new Server({
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
      // A node that vanished without a word is noticed within 40 seconds.
      "grpc.keepalive_time_ms": 30_000,
      "grpc.keepalive_timeout_ms": 10_000,
      "grpc.max_concurrent_streams": 8,
      // Statistics that nobody reads.
      "grpc.enable_channelz": 0,
    });
    this.#server.addService(SERVICE, { connect: (call: Call) => this.#accept(call) });
  }

  /** @returns the port. @throws {NodeplaneError} CONFIG_INVALID when the address cannot be bound */
  async listen(): Promise<number> {
    return await new Promise((resolve, reject) => {
      this.#server.bindAsync(this.#options.address, this.#credentials, (error, port) => {
        if (error === null) resolve(port);
        else {
          // What grpc-js says of all addresses together ends with the one thing that was wrong, in brackets.
          const why = /\[(.*)\]$/s.exec(error.message)?.[1] ?? error.message;
          const detail = `cannot listen on ${this.#options.address}: ${why}`;
          reject(new NodeplaneError("CONFIG_INVALID", { operation: "node stream", detail }, error));
        }
      });
    });
  }

  /** New connections get the new certificate; streams go on. */
  renew(keys: ServerKeys): void {
    this.#credentials.renew(keys);
  }

  async close(): Promise<void> {
    this.#options.hub.close();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        this.#server.forceShutdown();
        resolve();
      }, 500);
      this.#server.tryShutdown(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #accept(call: Call): void {
    const name = certificateName(call);
    if (name === undefined) {
      end(call, GrpcStatus.UNAUTHENTICATED, `a certificate for ${NODE_PREFIX}NAME is needed`);
      return;
    }
    new Connection(call, name, this.#options).start();
  }
}

/** NAME of the client's certificate, which TLS has verified. */
function certificateName(call: Call): string | undefined {
  const subject = call.getAuthContext()?.sslPeerCertificate?.subject;
  const name: unknown = subject?.CN;
  const groups: unknown = subject?.O;
  if (groups !== NODE_GROUP && !(Array.isArray(groups) && groups.includes(NODE_GROUP))) return undefined;
  if (typeof name !== "string" || !name.startsWith(NODE_PREFIX)) return undefined;
  return name.slice(NODE_PREFIX.length);
}

function end(call: Call, code: number, details: string): void {
  if (!call.destroyed && !call.cancelled) call.emit("error", { code, details });
}

/** One call, from hello to end. */
class Connection {
  readonly #call: Call;
  readonly #name: string;
  readonly #options: NodeStreamServerOptions;
  readonly #report = new ReportAssembly();
  #session: NodeSession | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isReporting = false;
  #isRenewing = false;
  /** Reports in a row of which a part could not be written. */
  #incomplete = 0;
  #again: NodeJS.Timeout | undefined;

  constructor(call: Call, name: string, options: NodeStreamServerOptions) {
    this.#call = call;
    this.#name = name;
    this.#options = options;
  }

  start(): void {
    const call = this.#call;
    this.#timer = setTimeout(() => end(call, GrpcStatus.DEADLINE_EXCEEDED, "no hello"), HELLO_MS);
    call.on("data", (bytes: Buffer) => this.#take(bytes));
    call.on("drain", () => this.#session?.drained());
    for (const event of ["end", "close", "error", "cancelled"]) call.on(event, () => this.#stop());
    call.on("end", () => call.end());
  }

  #stop(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#again);
    if (this.#session === undefined) return;
    this.#options.hub.disconnect(this.#session);
    this.#session = undefined;
  }

  #take(bytes: Buffer): void {
    try {
      const message = decodeNodeMessage(bytes);
      if (this.#session === undefined) this.#hello(message.hello);
      else this.#message(this.#session, message);
    } catch (error) {
      this.#options.onError?.(this.#name, error);
      const text = error instanceof Error ? error.message : String(error);
      end(this.#call, GrpcStatus.INVALID_ARGUMENT, text);
      this.#stop();
    }
  }

  #hello(hello: Hello | undefined): void {
    clearTimeout(this.#timer);
    const call = this.#call;
    if (hello === undefined) end(call, GrpcStatus.INVALID_ARGUMENT, "the first message must be a hello");
    else if (hello.node !== this.#name)
      end(
        call,
        GrpcStatus.PERMISSION_DENIED,
        `the certificate is for node "${this.#name}", not "${hello.node}"`,
      );
    else if (hello.role !== "agent" && hello.role !== "dns")
      end(call, GrpcStatus.INVALID_ARGUMENT, `role must be "agent" or "dns", not "${hello.role}"`);
    else this.#welcome(hello, hello.role);
  }

  #welcome(hello: Hello, role: NodeRole): void {
    const { hub } = this.#options;
    const call = this.#call;
    const output = { send: (message: Buffer) => call.write(message) };
    const { session, unknownSets } = hub.connect(hello, role, output, (why, reason) => {
      // A node that was replaced stays away for a while; one that hears of a stop comes back at once.
      end(call, why === "replaced" ? GrpcStatus.ABORTED : GrpcStatus.UNAVAILABLE, reason);
    });
    this.#session = session;
    call.write(encodeWelcome({ epoch: hub.epoch, revision: hub.revision, version: VERSION, unknownSets }));
    session.pump();
  }

  #message(session: NodeSession, message: NodeMessage): void {
    if (message.hello !== undefined)
      throw new NodeplaneError("STREAM_MALFORMED", { detail: "a second hello" });
    this.#options.hub.take(session, message);
    if (session.role !== "agent") return;
    if (message.report !== undefined)
      this.#reported(message.report.sequence, this.#report.take(message.report));
    if (message.heartbeat === true) this.#renewLease();
  }

  /** A node waits for its report to be taken before it sends the next: nothing piles up here. */
  #reported(sequence: number, report: NodeReport | undefined): void {
    if (report === undefined) return;
    if (this.#isReporting)
      throw new NodeplaneError("STREAM_MALFORMED", { detail: "a report before the last was taken" });
    this.#isReporting = true;
    void this.#write(sequence, report);
  }

  async #write(sequence: number, report: NodeReport): Promise<void> {
    let isComplete = false;
    try {
      isComplete = await this.#options.sink.report(this.#name, report);
    } catch (error) {
      this.#options.onError?.(this.#name, error);
    }
    this.#isReporting = false;
    if (this.#session === undefined) return;
    this.#call.write(encodeReportTaken(sequence));
    this.#incomplete = isComplete ? 0 : this.#incomplete + 1;
    clearTimeout(this.#again);
    if (isComplete) return;
    const waitMs = Math.min(MAX_AGAIN_MS, AGAIN_MS * 2 ** (this.#incomplete - 1));
    this.#again = setTimeout(() => this.#call.write(encodeReportAgain()), waitMs);
  }

  /** Heartbeats that come while one is being written are folded into it. */
  #renewLease(): void {
    if (this.#isRenewing) return;
    this.#isRenewing = true;
    this.#options.sink
      .heartbeat(this.#name)
      .then((isReportWanted) => {
        if (isReportWanted && this.#session !== undefined) this.#call.write(encodeReportAgain());
      })
      .catch((error: unknown) => this.#options.onError?.(this.#name, error))
      .finally(() => {
        this.#isRenewing = false;
      });
  }
}
