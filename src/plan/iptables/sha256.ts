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
const SHORT = new Uint8Array(1024);

/** Blocks that a text of so many bytes takes, with the end mark and its length. */
function blocksOf(length: number): number {
  return ((length + 8) >> 6) + 1;
}

/** @returns false for a text that is not ASCII or too long; otherwise its bytes are in {@link SHORT} */
function fillShort(text: string): boolean {
  const { length } = text;
  if (blocksOf(length) * 64 > SHORT.length) return false;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code > 127) return false;
    SHORT[i] = code;
  }
  return true;
}

/** Completes the last block of the `length` bytes in `bytes`. */
function pad(bytes: Uint8Array, length: number): void {
  const size = blocksOf(length) * 64;
  bytes[length] = 0x80;
  bytes.fill(0, length + 1, size - 4);
  const bits = length * 8;
  for (let i = 1; i <= 4; i++) bytes[size - i] = (bits >>> (8 * (i - 1))) & 255;
}

function schedule(bytes: Uint8Array, offset: number): void {
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

/** Scalars rather than an array that is shifted, or taken apart: ten times as fast. */
function compress(hash: Int32Array): void {
  let a = hash[0] ?? 0;
  let b = hash[1] ?? 0;
  let c = hash[2] ?? 0;
  let d = hash[3] ?? 0;
  let e = hash[4] ?? 0;
  let f = hash[5] ?? 0;
  let g = hash[6] ?? 0;
  let h = hash[7] ?? 0;
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
  hash[0] = (hash[0] ?? 0) + a;
  hash[1] = (hash[1] ?? 0) + b;
  hash[2] = (hash[2] ?? 0) + c;
  hash[3] = (hash[3] ?? 0) + d;
  hash[4] = (hash[4] ?? 0) + e;
  hash[5] = (hash[5] ?? 0) + f;
  hash[6] = (hash[6] ?? 0) + g;
  hash[7] = (hash[7] ?? 0) + h;
}

/** @returns the eight words, big end first, of the hash of the UTF-8 form of `text` */
export function sha256(text: string): Int32Array {
  let bytes = SHORT;
  let { length } = text;
  if (!fillShort(text)) {
    length = Buffer.byteLength(text);
    bytes = Buffer.alloc(blocksOf(length) * 64);
    Buffer.from(text).copy(bytes);
  }
  pad(bytes, length);
  const hash = INITIAL.slice();
  for (let block = 0; block < blocksOf(length); block++) {
    schedule(bytes, block * 64);
    compress(hash);
  }
  return hash;
}
