/**
 * Layer dns. SipHash-2-4 (Aumasson, Bernstein 2012) with 64-bit words as pairs of 32-bit numbers: what RFC 9018 makes server
 * cookies with. Node's crypto has none.
 */

/** Four words as [low, high] pairs. */
type State = Uint32Array;

function add(v: State, a: number, b: number): void {
  const low = (v[a] ?? 0) + (v[b] ?? 0);
  v[a] = low;
  v[a + 1] = (v[a + 1] ?? 0) + (v[b + 1] ?? 0) + (low > 0xffff_ffff ? 1 : 0);
}

function xor(v: State, a: number, b: number): void {
  v[a] = (v[a] ?? 0) ^ (v[b] ?? 0);
  v[a + 1] = (v[a + 1] ?? 0) ^ (v[b + 1] ?? 0);
}

/** @param bits 1 to 63, not 32 */
function rotate(v: State, a: number, bits: number): void {
  const [low, high] = bits < 32 ? [v[a] ?? 0, v[a + 1] ?? 0] : [v[a + 1] ?? 0, v[a] ?? 0];
  const by = bits % 32;
  v[a] = (low << by) | (high >>> (32 - by));
  v[a + 1] = (high << by) | (low >>> (32 - by));
}

function swap(v: State, a: number): void {
  const low = v[a] ?? 0;
  v[a] = v[a + 1] ?? 0;
  v[a + 1] = low;
}

const [V0, V1, V2, V3] = [0, 2, 4, 6] as const;

function round(v: State): void {
  add(v, V0, V1);
  rotate(v, V1, 13);
  xor(v, V1, V0);
  swap(v, V0);
  add(v, V2, V3);
  rotate(v, V3, 16);
  xor(v, V3, V2);
  add(v, V0, V3);
  rotate(v, V3, 21);
  xor(v, V3, V0);
  add(v, V2, V1);
  rotate(v, V1, 17);
  xor(v, V1, V2);
  swap(v, V2);
}

/** @param key 16 octets @returns 8 octets, the lowest first. Cost O(length). */
export function sipHash24(key: Buffer, data: Buffer): Buffer {
  const [k0l, k0h, k1l, k1h] = [0, 4, 8, 12].map((at) => key.readUInt32LE(at)) as [
    number,
    number,
    number,
    number,
  ];
  const v = Uint32Array.of(
    k0l ^ 0x70736575,
    k0h ^ 0x736f6d65,
    k1l ^ 0x6e646f6d,
    k1h ^ 0x646f7261,
    k0l ^ 0x6e657261,
    k0h ^ 0x6c796765,
    k1l ^ 0x79746573,
    k1h ^ 0x74656462,
  );
  const padded = Buffer.alloc((data.length & ~7) + 8);
  data.copy(padded);
  padded[padded.length - 1] = data.length & 0xff;
  for (let at = 0; at < padded.length; at += 8) {
    const [low, high] = [padded.readUInt32LE(at), padded.readUInt32LE(at + 4)];
    v[V3] = (v[V3] ?? 0) ^ low;
    v[V3 + 1] = (v[V3 + 1] ?? 0) ^ high;
    round(v);
    round(v);
    v[V0] = (v[V0] ?? 0) ^ low;
    v[V0 + 1] = (v[V0 + 1] ?? 0) ^ high;
  }
  v[V2] = (v[V2] ?? 0) ^ 0xff;
  for (let i = 0; i < 4; i++) round(v);
  const out = Buffer.alloc(8);
  for (const half of [0, 1]) {
    const word = (v[V0 + half] ?? 0) ^ (v[V1 + half] ?? 0) ^ (v[V2 + half] ?? 0) ^ (v[V3 + half] ?? 0);
    out.writeInt32LE(word, half * 4);
  }
  return out;
}
