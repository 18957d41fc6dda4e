/**
 * Layer codec. Domain names as text: absolute, with the final dot, spelling kept, octets that are no plain printable
 * characters escaped (`\.`, `\\`, `\DDD`; RFC 1035 section 5.1). Two names are equal when their lower-case texts are.
 */

/** Longest name on the wire in octets, with its length octets (RFC 1035 section 2.3.4). */
export const MAX_NAME_BYTES = 255;
export const MAX_LABEL_BYTES = 63;

/** Characters with a meaning in zone files. */
const SPECIAL = '.\\";()';

const ESCAPES: readonly string[] = Array.from({ length: 256 }, (_, octet) => {
  if (octet <= 0x20 || octet >= 0x7f) return `\\${octet.toString().padStart(3, "0")}`;
  const char = String.fromCharCode(octet);
  return SPECIAL.includes(char) ? `\\${char}` : char;
});

/** Text of one octet inside a label. */
export function escapeOctet(octet: number): string {
  return ESCAPES[octet] ?? "";
}

/** True for octets that stand for themselves inside a label. */
export function isPlainOctet(octet: number): boolean {
  return ESCAPES[octet]?.length === 1;
}

/**
 * Labels of a name from left to right, as escaped text; the root has none.
 * Cost O(length).
 */
export function labelsOf(name: string): string[] {
  if (name === "." || name === "") return [];
  const text = name.endsWith(".") && !isEscaped(name, name.length - 1) ? name.slice(0, -1) : name;
  if (!text.includes("\\")) return text.split(".");
  const labels: string[] = [];
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x5c) i++;
    else if (code === 0x2e) {
      labels.push(text.slice(start, i));
      start = i + 1;
    }
  }
  labels.push(text.slice(start));
  return labels;
}

/** Octets of one escaped label, or `undefined` when an escape is broken. */
export function labelOctets(label: string): number[] | undefined {
  const octets: number[] = [];
  for (let i = 0; i < label.length; i++) {
    const code = label.charCodeAt(i);
    if (code !== 0x5c) {
      if (code > 0xff) return undefined;
      octets.push(code);
      continue;
    }
    const digits = /^\d{3}/.exec(label.slice(i + 1, i + 4));
    if (digits !== null) {
      const octet = Number(digits[0]);
      if (octet > 255) return undefined;
      octets.push(octet);
      i += 3;
    } else {
      const next = label.charCodeAt(i + 1);
      if (Number.isNaN(next) || next > 0xff) return undefined;
      octets.push(next);
      i += 1;
    }
  }
  return octets;
}

/**
 * Reads a name as people write it: the final dot may be missing, escapes may be of either form.
 * @returns the absolute name with canonical escapes, or `undefined` when a label or the whole is too long or empty
 */
export function parseName(text: string): string | undefined {
  if (text === ".") return ".";
  if (text === "") return undefined;
  let wireBytes = 1;
  let out = "";
  for (const label of labelsOf(text)) {
    const octets = labelOctets(label);
    if (octets === undefined || octets.length === 0 || octets.length > MAX_LABEL_BYTES) return undefined;
    wireBytes += octets.length + 1;
    for (const octet of octets) out += escapeOctet(octet);
    out += ".";
  }
  return wireBytes <= MAX_NAME_BYTES ? out : undefined;
}

/** True when `name` is `zone` or below it. Both absolute and lower case. */
export function isWithin(name: string, zone: string): boolean {
  if (zone === ".") return true;
  if (!name.endsWith(zone)) return false;
  const cut = name.length - zone.length;
  if (cut === 0) return true;
  return name.charCodeAt(cut - 1) === 0x2e && !isEscaped(name, cut - 1);
}

function isEscaped(name: string, at: number): boolean {
  let backslashes = 0;
  for (let i = at - 1; i >= 0 && name.charCodeAt(i) === 0x5c; i--) backslashes++;
  return backslashes % 2 === 1;
}

/** The longest of `zones` (absolute, lower case) that holds `name`, or `undefined`. */
export function longestZone(name: string, zones: readonly string[]): string | undefined {
  let best: string | undefined;
  for (const zone of zones) {
    if ((best === undefined || zone.length > best.length) && isWithin(name, zone)) best = zone;
  }
  return best;
}

/** The name one label up; the root stays the root. */
export function parentName(name: string): string {
  let at = name.indexOf(".");
  while (at > 0 && isEscaped(name, at)) at = name.indexOf(".", at + 1);
  return at < 0 || at === name.length - 1 ? "." : name.slice(at + 1);
}
