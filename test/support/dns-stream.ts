/** Test code. DNS messages on a stream: each behind two octets of its length (RFC 1035, 4.2.2). */
import type { Socket } from "node:net";

const LENGTH_BYTES = 2;

/** A message as it stands on a stream. */
export function framed(message: Uint8Array): Buffer {
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}

/** Calls `onMessage` with each whole message that arrives. */
export function readFrames(socket: Socket, onMessage: (message: Buffer) => void): void {
  let buffer: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    buffer = Buffer.concat([buffer, chunk]);
    while (buffer.length >= LENGTH_BYTES && buffer.length >= LENGTH_BYTES + buffer.readUInt16BE(0)) {
      const end = LENGTH_BYTES + buffer.readUInt16BE(0);
      const message = buffer.subarray(LENGTH_BYTES, end);
      buffer = buffer.subarray(end);
      onMessage(message);
    }
  });
}
