/**
 * Layer plan. SHA-256 of short texts, since the plan layer is pure and imports no `node:crypto`. Source: FIPS 180-4.
 * Only for names of chains; a hash takes some microseconds.
 */
import { Buffer } from "node:buffer";

/** The first 32 bits of the fractional parts of the n-th primes' roots, as FIPS 180-4 sections 4.2.2 and 5.3.3 define them. */
function fractions(count: number, root: (prime: number) => number): Int32Array {
  const found: number[] = [];
  for (let n = 2; found.length < count; n++) {
    let isPrime = true;
    for (let d = 2; d * d <= n && isPrime; d++) isPrime = n % d !== 0;
    if (isPrime) found.push((root(n) % 1) * 2 ** 32);
  }
  return Int32Array.from(found, (value) => Math.floor(value) | 0);
}

const ROUND = fractions(64, Math.cbrt);
const INITIAL = fractions(8, Math.sqrt);

function rotate(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits));
}

/** Reused: a hash is made in one go. */
const WORDS = new Int32Array(64);

/** Reused for short texts: names of chains have no more than a few hundred bytes. */
const SHORT = Buffer.alloc(1024);

/** The text as whole blocks, with the end mark and its length in bits. */
function padded(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const size = ((length + 8) >> 6) * 64 + 64;
  const bytes = size <= SHORT.length ? SHORT.subarray(0, size) : Buffer.alloc(size);
  bytes.write(text);
  bytes.fill(0, length);
  bytes[length] = 0x80;
  bytes.writeUInt32BE(length * 8, size - 4);
  return bytes;
}

function schedule(bytes: Buffer, offset: number): void {
  for (let i = 0, at = offset; i < 16; i++, at += 4)
    WORDS[i] =
      ((bytes[at] ?? 0) << 24) |
      ((bytes[at + 1] ?? 0) << 16) |
      ((bytes[at + 2] ?? 0) << 8) |
      (bytes[at + 3] ?? 0);
  for (let i = 16; i < 64; i++) {
    const a = WORDS[i - 15] ?? 0;
    const b = WORDS[i - 2] ?? 0;
    const s0 = rotate(a, 7) ^ rotate(a, 18) ^ (a >>> 3);
    const s1 = rotate(b, 17) ^ rotate(b, 19) ^ (b >>> 10);
    WORDS[i] = ((WORDS[i - 16] ?? 0) + s0 + (WORDS[i - 7] ?? 0) + s1) | 0;
  }
}

/** Scalars rather than an array that is shifted: ten times as fast. */
function compress(hash: Int32Array): void {
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = hash;
  for (let i = 0; i < 64; i++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + (ROUND[i] ?? 0) + (WORDS[i] ?? 0)) | 0;
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  const added = [a, b, c, d, e, f, g, h];
  for (let i = 0; i < 8; i++) hash[i] = (hash[i] ?? 0) + (added[i] ?? 0);
}

/** @returns the eight words, big end first, of the hash of the UTF-8 form of `text` */
export function sha256(text: string): Int32Array {
  const bytes = padded(text);
  const hash = Int32Array.from(INITIAL);
  for (let offset = 0; offset < bytes.length; offset += 64) {
    schedule(bytes, offset);
    compress(hash);
  }
  return hash;
}
