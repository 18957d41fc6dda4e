/** Layer plan. Short names for what has a long one: kube-proxy's way to name chains, and sets of ours. Pure. */
import { sha256 } from "./sha256.ts";

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const HASH_CHARACTERS = 16;
/** Reused: a hash is made in one go, as one flat string. */
const CODES: number[] = Array.from({ length: HASH_CHARACTERS }, () => 0);

/** First 16 characters of the base32 form (RFC 4648) of the SHA-256 of `text`: its first 80 bits. */
export function base32Hash(text: string): string {
  const words = sha256(text);
  for (let i = 0; i < HASH_CHARACTERS; i++) {
    const at = i * 5;
    const word = words[at >> 5] ?? 0;
    const over = (at & 31) + 5 - 32;
    const value = over <= 0 ? word >>> -over : (word << over) | ((words[(at >> 5) + 1] ?? 0) >>> (32 - over));
    CODES[i] = BASE32.charCodeAt(value & 31);
  }
  return String.fromCharCode(...CODES);
}
