/** Layer plan. 32-bit numbers in the byte order of this machine: how nf_tables holds marks, conntrack bits and numgen results. */

const IS_LITTLE = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

export function hostU32(number: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, number, IS_LITTLE);
  return bytes;
}

/** The same as a packed string. */
export function packHostU32(number: number): string {
  const bytes = hostU32(number);
  return String.fromCharCode(bytes[0] ?? 0, bytes[1] ?? 0, bytes[2] ?? 0, bytes[3] ?? 0);
}

/** Reads four bytes of a packed string. */
export function unpackHostU32(packed: string, at: number): number {
  const [a, b, c, d] = [0, 1, 2, 3].map((i) => packed.charCodeAt(at + i)) as [number, number, number, number];
  return (
    (IS_LITTLE ? a + b * 256 + c * 65_536 + d * 16_777_216 : d + c * 256 + b * 65_536 + a * 16_777_216) >>> 0
  );
}
