/**
 * Layer codec. Zone file text of record types whose data is kept as octets: digests and keys (DS, DNSKEY, SSHFP, TLSA, their
 * kin), URI, and service bindings (SVCB, HTTPS; RFC 9460). Other types are written `\# LENGTH HEX`.
 */
import { ipFamily, ipToBytes, parseIp } from "../../model/ip.ts";
import { TYPE } from "./constants.ts";
import { labelOctets, labelsOf } from "./name.ts";
import type { Word } from "./text.ts";

/** Widths in octets of the numbers before the data, and how that is written. */
const FORMS: ReadonlyMap<number, readonly [readonly (1 | 2)[], "hex" | "base64" | "text"]> = new Map([
  [TYPE.DS, [[2, 1, 1], "hex"]],
  [TYPE.CDS, [[2, 1, 1], "hex"]],
  [TYPE.DNSKEY, [[2, 1, 1], "base64"]],
  [TYPE.CDNSKEY, [[2, 1, 1], "base64"]],
  [TYPE.SSHFP, [[1, 1], "hex"]],
  [TYPE.TLSA, [[1, 1, 1], "hex"]],
  [TYPE.SMIMEA, [[1, 1, 1], "hex"]],
  [TYPE.OPENPGPKEY, [[], "base64"]],
  [TYPE.URI, [[2, 2], "text"]],
]);

const SERVICE_KEYS = [
  "mandatory",
  "alpn",
  "no-default-alpn",
  "port",
  "ipv4hint",
  "ech",
  "ipv6hint",
  "dohpath",
];

/**
 * @param resolve makes names of a zone file absolute
 * @returns the data on the wire, or `undefined` when the words are none of that type
 */
export function parseOctets(
  type: number,
  words: readonly Word[],
  resolve: (raw: string) => string | undefined,
): Uint8Array | undefined {
  if (type === TYPE.SVCB || type === TYPE.HTTPS) return parseBinding(words, resolve);
  const form = FORMS.get(type);
  if (form === undefined) return undefined;
  const [widths, coding] = form;
  const numbers = widths.map((width, i) => integer(words[i]?.text, width));
  const rest = words.slice(widths.length).map(({ text }) => text);
  const data = coding === "text" ? oneText(rest) : decoded(rest.join(""), coding);
  if (data === undefined || data.length === 0 || numbers.includes(undefined)) return undefined;
  return Buffer.concat([...numbers.flatMap((bytes) => bytes ?? []), data]);
}

function oneText(words: readonly string[]): Buffer | undefined {
  return words.length === 1 ? Buffer.from(words[0] ?? "", "latin1") : undefined;
}

function decoded(text: string, coding: "hex" | "base64"): Buffer | undefined {
  const isWell =
    coding === "hex"
      ? /^(?:[0-9a-f]{2})+$/i.test(text)
      : /^[A-Za-z0-9+/]+={0,2}$/.test(text) && text.length % 4 === 0;
  return isWell ? Buffer.from(text, coding) : undefined;
}

function integer(text: string | undefined, width: 1 | 2): Buffer | undefined {
  const value = /^\d{1,5}$/.test(text ?? "") ? Number(text) : -1;
  if (value < 0 || value >= 256 ** width) return undefined;
  return width === 1 ? Buffer.of(value) : Buffer.of(value >> 8, value & 255);
}

/** `PRIORITY TARGET [KEY[=VALUE]]…`. */
function parseBinding(
  words: readonly Word[],
  resolve: (raw: string) => string | undefined,
): Uint8Array | undefined {
  const priority = integer(words[0]?.text, 2);
  const target = resolve(words[1]?.raw ?? "");
  const parameters = new Map<number, Buffer>();
  for (const { raw } of words.slice(2)) {
    const [, name = "", value = ""] = /^([a-z0-9-]+)(?:="?(.*?)"?)?$/s.exec(raw) ?? [];
    const key = serviceKey(name);
    const bytes = key === undefined ? undefined : serviceValue(key, value);
    if (key === undefined || bytes === undefined || parameters.has(key)) return undefined;
    parameters.set(key, bytes);
  }
  if (priority === undefined || target === undefined || words[1] === undefined) return undefined;
  const sorted = [...parameters].sort(([a], [b]) => a - b);
  return Buffer.concat([
    priority,
    wireName(target),
    ...sorted.flatMap(([key, bytes]) => [twoOctets(key), twoOctets(bytes.length), bytes]),
  ]);
}

function serviceKey(name: string): number | undefined {
  const known = SERVICE_KEYS.indexOf(name);
  if (known >= 0) return known;
  const number = Number(/^key(\d{1,5})$/.exec(name)?.[1] ?? Number.NaN);
  return number < 65_535 ? number : undefined;
}

function serviceValue(key: number, value: string): Buffer | undefined {
  const parts = value.split(",");
  switch (SERVICE_KEYS[key]) {
    case "mandatory":
      return joined(parts.map(serviceKey).map((of) => (of === undefined ? undefined : twoOctets(of))));
    case "alpn":
      return joined(
        parts.map((id) =>
          id === "" || id.length > 255
            ? undefined
            : Buffer.from(`${String.fromCharCode(id.length)}${id}`, "latin1"),
        ),
      );
    case "no-default-alpn":
      return value === "" ? Buffer.alloc(0) : undefined;
    case "port":
      return integer(value, 2);
    case "ipv4hint":
    case "ipv6hint":
      return joined(parts.map((text) => addressOf(text, SERVICE_KEYS[key] === "ipv4hint" ? "ip" : "ip6")));
    case "ech":
      return decoded(value, "base64");
    default:
      return Buffer.from(value, "latin1");
  }
}

function addressOf(text: string, family: "ip" | "ip6"): Buffer | undefined {
  const address = parseIp(text);
  return address !== undefined && ipFamily(address) === family ? Buffer.from(ipToBytes(address)) : undefined;
}

function joined(parts: readonly (Buffer | undefined)[]): Buffer | undefined {
  const known = parts.filter((part) => part !== undefined);
  return known.length === parts.length ? Buffer.concat(known) : undefined;
}

function twoOctets(value: number): Buffer {
  return Buffer.of(value >> 8, value & 255);
}

/** Never compressed inside these records (RFC 3597 section 4). */
function wireName(name: string): Buffer {
  const labels = labelsOf(name).map((label) => labelOctets(label) ?? []);
  return Buffer.from([...labels.flatMap((octets) => [octets.length, ...octets]), 0]);
}
