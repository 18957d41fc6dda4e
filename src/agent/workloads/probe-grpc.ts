/**
 * Layer agent. A gRPC probe: one call of grpc.health.v1.Health/Check over cleartext HTTP/2. Two tiny messages, so they
 * are written and read by hand. Source: grpc/grpc-proto health.proto; the wire format of gRPC over HTTP/2.
 */
import { connect } from "node:http2";
import type { Seen } from "./run-probe.ts";

const STATUS = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const MAX_REPLY_BYTES = 4096;

export interface GrpcTarget {
  readonly host: string;
  readonly port: number;
  /** Empty: the server as a whole. */
  readonly service: string;
}

/** @throws when nothing answers or `signal` aborts */
export function probeGrpc(target: GrpcTarget, signal: AbortSignal): Promise<Seen> {
  const host = target.host.includes(":") ? `[${target.host}]` : target.host;
  return new Promise((resolve, reject) => {
    const session = connect(`http://${host}:${target.port}`);
    const finish = (done: () => void): void => {
      signal.removeEventListener("abort", stop);
      session.destroy();
      done();
    };
    const fail = (error: Error): void => finish(() => reject(error));
    const stop = (): void => fail(new Error("stopped"));
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    session.on("error", fail);
    const stream = session.request({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Check",
      "content-type": "application/grpc",
      te: "trailers",
    });
    let reply = Buffer.alloc(0);
    let grpcStatus = "";
    const note = (headers: Readonly<Record<string, unknown>>): void => {
      const status = headers["grpc-status"];
      if (typeof status === "string") grpcStatus = status;
    };
    stream.on("response", note);
    stream.on("trailers", note);
    stream.on("error", fail);
    stream.on("data", (chunk: Buffer) => {
      if (reply.length < MAX_REPLY_BYTES) reply = Buffer.concat([reply, chunk]);
    });
    stream.on("end", () => finish(() => resolve(judge(reply, grpcStatus))));
    stream.end(formatRequest(target.service));
  });
}

/** HealthCheckRequest{ service = 1 } behind the five bytes of a gRPC message. */
function formatRequest(service: string): Buffer {
  const name = Buffer.from(service, "latin1");
  const body =
    name.length === 0
      ? Buffer.alloc(0)
      : Buffer.concat([
          // A length of 128 to 255 takes two bytes of a varint.
          Buffer.from(
            name.length < 128 ? [0x0a, name.length] : [0x0a, (name.length & 0x7f) | 0x80, name.length >> 7],
          ),
          name,
        ]);
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(body.length, 1);
  return Buffer.concat([frame, body]);
}

function judge(reply: Buffer, grpcStatus: string): Seen {
  if (grpcStatus !== "" && grpcStatus !== "0") {
    return { result: "failure", message: `gRPC status ${grpcStatus.slice(0, 20)}` };
  }
  // HealthCheckResponse{ status = 1 }: an absent field is 0, UNKNOWN.
  const value = reply.length >= 7 && reply[5] === 0x08 ? (reply[6] ?? 0) : 0;
  const name = STATUS[value] ?? String(value);
  return { result: value === 1 ? "success" : "failure", message: `health status ${name}` };
}
