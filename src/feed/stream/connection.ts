/**
 * Layer feed. One gRPC stream to the control plane, over mutual TLS, as bytes. Knows nothing of what the bytes mean.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { checkServerIdentity } from "node:tls";
import {
  Client,
  type ClientDuplexStream,
  credentials,
  status as GrpcStatus,
  type ServiceError,
} from "@grpc/grpc-js";
import { MAX_MESSAGE_BYTES } from "../../codec/stream/server-message.ts";
import { NodeplaneError } from "../../model/errors.ts";

export interface ConnectionFiles {
  readonly caFile: string;
  readonly certificateFile: string;
  readonly keyFile: string;
}

export interface ConnectionKeys {
  readonly ca: Buffer;
  readonly certificate: Buffer;
  readonly key: Buffer;
}

/** Why a stream ended. */
export interface StreamEnd {
  readonly reason: string;
  /** The server said no to this node: trying again soon makes no sense. */
  readonly isRefused: boolean;
}

const identity = (bytes: Buffer): Buffer => bytes;
const REFUSALS: readonly number[] = [
  GrpcStatus.PERMISSION_DENIED,
  GrpcStatus.UNAUTHENTICATED,
  GrpcStatus.ABORTED,
  GrpcStatus.UNIMPLEMENTED,
];

/** @throws {NodeplaneError} FILE_UNREADABLE naming the file */
export async function readKeys(files: ConnectionFiles): Promise<ConnectionKeys> {
  const read = async (path: string): Promise<Buffer> => {
    try {
      return await readFile(path);
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      throw new NodeplaneError("FILE_UNREADABLE", { path, detail }, error);
    }
  };
  return {
    ca: await read(files.caFile),
    certificate: await read(files.certificateFile),
    key: await read(files.keyFile),
  };
}

/**
 * Reads what {@link readKeys} reads and looks whether it can be used, before anything is begun.
 * @throws {NodeplaneError} FILE_UNREADABLE, CONFIG_INVALID naming the file
 */
export async function checkKeys(files: ConnectionFiles): Promise<void> {
  const keys = await readKeys(files);
  const parse = <T>(path: string, what: string, read: () => T): T => {
    try {
      return read();
    } catch (error) {
      throw new NodeplaneError("CONFIG_INVALID", { path, detail: `is not ${what} in PEM form` }, error);
    }
  };
  parse(files.caFile, "a certificate", () => new X509Certificate(keys.ca));
  const own = parse(files.certificateFile, "a certificate", () => new X509Certificate(keys.certificate));
  const key = parse(files.keyFile, "a private key", () => createPrivateKey(keys.key));
  if (own.checkPrivateKey(key)) return;
  const detail = `is not the key of the certificate in ${files.certificateFile}`;
  throw new NodeplaneError("CONFIG_INVALID", { path: files.keyFile, detail });
}

export class Connection {
  readonly #client: Client;
  readonly #call: ClientDuplexStream<Buffer, Buffer>;
  readonly #ended = Promise.withResolvers<StreamEnd>();
  #isOver = false;

  /** @throws {NodeplaneError} CONFIG_INVALID when the certificates cannot be used */
  constructor(address: string, keys: ConnectionKeys, onMessage: (message: Buffer) => void) {
    const host = hostOf(address);
    this.#client = new Client(address, secure(keys, host), {
      // TLS knows no IP addresses as names; Node 26 makes that an error. The certificate is checked against the address.
      ...(isIP(host) === 0 ? {} : { "grpc.ssl_target_name_override": "kubernetes" }),
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
      // A control plane that vanished without a word is noticed within 15 seconds.
      "grpc.keepalive_time_ms": 10_000,
      "grpc.keepalive_timeout_ms": 5_000,
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_channelz": 0,
      "grpc.enable_retries": 0,
      "grpc.enable_http_proxy": 0,
      "grpc.service_config_disable_resolution": 1,
    });
    const path = "/nodeplane.v1.NodeStream/Connect";
    this.#call = this.#client.makeBidiStreamRequest<Buffer, Buffer>(path, identity, identity);
    this.#call.on("data", (message: Buffer) => {
      if (!this.#isOver) onMessage(message);
    });
    this.#call.on("error", (error: ServiceError) => {
      this.#finish({ reason: error.details || error.message, isRefused: REFUSALS.includes(error.code) });
    });
    this.#call.on("end", () =>
      this.#finish({ reason: "the control plane ended the stream", isRefused: false }),
    );
  }

  /** Resolves when the stream is over. */
  get ended(): Promise<StreamEnd> {
    return this.#ended.promise;
  }

  /** Dropped when the stream is over. */
  send(message: Buffer): void {
    if (!this.#isOver) this.#call.write(message);
  }

  close(reason: string): void {
    this.#finish({ reason, isRefused: false });
  }

  #finish(end: StreamEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#call.cancel();
    this.#client.close();
    this.#ended.resolve(end);
  }
}

/** Host of `host:port` or `[address]:port`. */
function hostOf(address: string): string {
  return address.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
}

function secure(keys: ConnectionKeys, host: string): ReturnType<typeof credentials.createSsl> {
  try {
    return credentials.createSsl(keys.ca, keys.key, keys.certificate, {
      checkServerIdentity: (_name, certificate) => checkServerIdentity(host, certificate),
    });
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new NodeplaneError(
      "CONFIG_INVALID",
      { operation: "certificates of the node stream", detail },
      error,
    );
  }
}
