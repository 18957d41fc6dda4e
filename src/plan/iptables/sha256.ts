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

function pad(text: string): Buffer {
  const bytes = Buffer.from(text, "utf8");
  const padded = Buffer.alloc(((bytes.length + 8) >> 6) * 64 + 64);
  bytes.copy(padded);
  padded[bytes.length] = 0x80;
  padded.writeUInt32BE(bytes.length * 8, padded.length - 4);
  return padded;
}

function schedule(block: Buffer, offset: number, words: Int32Array): void {
  for (let i = 0; i < 16; i++) words[i] = block.readInt32BE(offset + i * 4);
  for (let i = 16; i < 64; i++) {
    const a = words[i - 15] ?? 0;
    const b = words[i - 2] ?? 0;
    const s0 = rotate(a, 7) ^ rotate(a, 18) ^ (a >>> 3);
    const s1 = rotate(b, 17) ^ rotate(b, 19) ^ (b >>> 10);
    words[i] = ((words[i - 16] ?? 0) + s0 + (words[i - 7] ?? 0) + s1) | 0;
  }
}

function compress(hash: Int32Array, words: Int32Array): void {
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = hash;
  for (let i = 0; i < 64; i++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + (ROUND[i] ?? 0) + (words[i] ?? 0)) | 0;
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
  }
  for (const [i, value] of [a, b, c, d, e, f, g, h].entries()) hash[i] = (hash[i] ?? 0) + value;
}

/** @returns the 32 bytes of the hash of the UTF-8 form of `text` */
export function sha256(text: string): Buffer {
  const padded = pad(text);
  const hash = Int32Array.from(INITIAL);
  const words = new Int32Array(64);
  for (let offset = 0; offset < padded.length; offset += 64) {
    schedule(padded, offset, words);
    compress(hash, words);
  }
  const result = Buffer.alloc(32);
  hash.forEach((word, i) => void result.writeInt32BE(word, i * 4));
  return result;
}
