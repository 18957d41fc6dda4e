/**
 * Layer feed. A file of message frames: a first line, then for each frame its length, its CRC-32 and its bytes. Written
 * only at the end, so that whatever happens while writing, a prefix of whole frames stays readable.
 */
import { type FileHandle, open } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { MAX_MESSAGE_BYTES } from "../../codec/stream/server-message.ts";

const MAGIC = "nodeplane-state 1 ";
const FIRST_LINE_BYTES = 256;

/** The first line: the format's version and which sets the frames hold. */
export function firstLine(sets: string): Buffer {
  return Buffer.from(`${(MAGIC + sets).slice(0, FIRST_LINE_BYTES - 1).padEnd(FIRST_LINE_BYTES - 1)}\n`);
}

/** The sets that a file says it holds; `undefined` for a file of another format. */
export async function readFirstLine(path: string): Promise<string | undefined> {
  const file = await open(path, "r");
  try {
    const line = Buffer.alloc(FIRST_LINE_BYTES);
    await file.read(line, 0, FIRST_LINE_BYTES, 0);
    const text = line.toString("latin1");
    return text.startsWith(MAGIC) && text.endsWith("\n") ? text.slice(MAGIC.length).trim() : undefined;
  } finally {
    await file.close();
  }
}

const HEAD_BYTES = 8;
/** Room for the largest frame and as much again. */
const WINDOW_BYTES = 512 * 1024;

/** Length and checksum in front of a frame, little endian. */
export function frameHead(frame: Uint8Array): Buffer {
  const head = Buffer.allocUnsafe(HEAD_BYTES);
  head.writeUInt32LE(frame.length, 0);
  head.writeUInt32LE(crc32(frame), 4);
  return head;
}

export interface ReadFrame {
  /** Valid until the next frame is asked for: all frames of a reading share one buffer. */
  readonly bytes: Buffer;
  /** Offset in the file behind the frame. */
  readonly endOffset: number;
}

/** The whole frames of a file up to `limit` bytes, in order; stops without error at the first that is cut or damaged. */
export async function* readFrames(path: string, limit = Number.POSITIVE_INFINITY): AsyncGenerator<ReadFrame> {
  const file = await open(path, "r");
  try {
    yield* framesOf(file, limit);
  } finally {
    await file.close();
  }
}

async function* framesOf(file: FileHandle, limit: number): AsyncGenerator<ReadFrame> {
  const window = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  let start = 0;
  let end = 0;
  let position = FIRST_LINE_BYTES;
  for (;;) {
    const size = end - start >= HEAD_BYTES ? window.readUInt32LE(start) : 0;
    if (size > MAX_MESSAGE_BYTES) return;
    const frameEnd = start + HEAD_BYTES + size;
    if (end - start >= HEAD_BYTES && frameEnd <= end) {
      const bytes = window.subarray(start + HEAD_BYTES, frameEnd);
      if (crc32(bytes) !== window.readUInt32LE(start + 4)) return;
      start = frameEnd;
      yield { bytes, endOffset: position - (end - start) };
      continue;
    }
    window.copyWithin(0, start, end);
    end -= start;
    start = 0;
    const want = Math.min(WINDOW_BYTES - end, limit - position);
    const bytesRead = want <= 0 ? 0 : (await file.read(window, end, want, position)).bytesRead;
    if (bytesRead === 0) return;
    position += bytesRead;
    end += bytesRead;
  }
}
