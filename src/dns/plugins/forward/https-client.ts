/** Layer dns. DNS over HTTPS to one upstream (RFC 8484): one HTTP/2 connection that many queries share, opened when it is needed. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import type { ConnectionOptions } from "node:tls";
import { decodeMessage } from "../../../codec/dns/decode.ts";
import { encodeMessage } from "../../../codec/dns/encode.ts";
import type { DnsMessage, Question } from "../../../codec/dns/message.ts";
import { isReplyTo, UpstreamError } from "./exchange.ts";
import { formatUpstream, type UpstreamAddress } from "./upstream-address.ts";

const PATH = "/dns-query";
const MEDIA_TYPE = "application/dns-message";
const MAX_REPLY_BYTES = 65_535;

export interface HttpsClientOptions {
  readonly address: UpstreamAddress;
  /** Idle life of the connection. */
  readonly expireMs: number;
  readonly tls: ConnectionOptions;
  readonly method: "POST" | "GET";
  readonly onUse: (wasKept: boolean) => void;
}

export class HttpsClient {
  readonly #options: HttpsClientOptions;
  #session: ClientHttp2Session | undefined;

  constructor(options: HttpsClientOptions) {
    this.#options = options;
  }

  /** @throws {UpstreamError} when no reply came */
  async ask(message: DnsMessage, question: Question, timeoutMs: number): Promise<DnsMessage> {
    const session = this.#open();
    // Identifier 0 lets HTTP caches work (RFC 8484 section 4.1); the stream tells replies apart.
    const decoded = decodeMessage(
      await this.#exchange(session, encodeMessage({ ...message, id: 0 }), timeoutMs),
    );
    if (decoded.kind !== "message" || !decoded.message.isResponse || !isReplyTo(decoded.message, question)) {
      throw new UpstreamError("the reply is none to our question");
    }
    return decoded.message;
  }

  close(): void {
    this.#session?.destroy();
  }

  #open(): ClientHttp2Session {
    const kept = this.#session;
    const isUsable = kept !== undefined && !kept.closed && !kept.destroyed;
    this.#options.onUse(isUsable);
    if (isUsable) return kept;
    const { address, tls, expireMs } = this.#options;
    const session = connect(`https://${formatUpstream(address)}`, { ...tls, ALPNProtocols: ["h2"] });
    session.on("error", () => session.destroy());
    session.on("goaway", () => session.close());
    session.setTimeout(expireMs, () => session.close());
    session.on("close", () => {
      if (this.#session === session) this.#session = undefined;
    });
    session.unref();
    this.#session = session;
    return session;
  }

  #exchange(session: ClientHttp2Session, query: Buffer, timeoutMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const stream = this.#request(session, query);
      const timer = setTimeout(() => {
        stream.close(constants.NGHTTP2_CANCEL);
        // A connection that never came about would hold back the next query too.
        if (session.connecting) session.destroy();
        reject(new UpstreamError(`no reply within ${timeoutMs} ms`, true));
      }, timeoutMs);
      const chunks: Buffer[] = [];
      let size = 0;
      let status = 0;
      stream.on("response", (headers) => {
        status = headers[":status"] ?? 0;
      });
      stream.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_REPLY_BYTES) stream.close(constants.NGHTTP2_CANCEL);
        else chunks.push(chunk);
      });
      stream.on("error", (error) => reject(new UpstreamError(error.message)));
      stream.on("close", () => {
        clearTimeout(timer);
        if (status === 200 && size <= MAX_REPLY_BYTES) resolve(Buffer.concat(chunks));
        else reject(new UpstreamError(status === 0 ? "the connection was closed" : `HTTP status ${status}`));
      });
    });
  }

  #request(session: ClientHttp2Session, query: Buffer): ClientHttp2Stream {
    if (this.#options.method === "GET") {
      const path = `${PATH}?dns=${query.toString("base64url")}`;
      return session.request({ ":method": "GET", ":path": path, accept: MEDIA_TYPE });
    }
    const stream = session.request(
      {
        ":method": "POST",
        ":path": PATH,
        accept: MEDIA_TYPE,
        "content-type": MEDIA_TYPE,
        "content-length": query.length,
      },
      { endStream: false },
    );
    stream.end(query);
    return stream;
  }
}
