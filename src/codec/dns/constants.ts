/**
 * Layer codec. Numbers of the DNS protocol and their names (IANA "Domain Name System (DNS) Parameters").
 */

/** Record types that nodeplane names; any other is written TYPE123 (RFC 3597). */
export const TYPE = {
  A: 1,
  NS: 2,
  MD: 3,
  MF: 4,
  CNAME: 5,
  SOA: 6,
  MB: 7,
  MG: 8,
  MR: 9,
  NULL: 10,
  PTR: 12,
  HINFO: 13,
  MINFO: 14,
  MX: 15,
  TXT: 16,
  RP: 17,
  AFSDB: 18,
  RT: 21,
  AAAA: 28,
  LOC: 29,
  SRV: 33,
  NAPTR: 35,
  KX: 36,
  CERT: 37,
  DNAME: 39,
  OPT: 41,
  DS: 43,
  SSHFP: 44,
  RRSIG: 46,
  NSEC: 47,
  DNSKEY: 48,
  NSEC3: 50,
  NSEC3PARAM: 51,
  TLSA: 52,
  SMIMEA: 53,
  CDS: 59,
  CDNSKEY: 60,
  OPENPGPKEY: 61,
  CSYNC: 62,
  ZONEMD: 63,
  SVCB: 64,
  HTTPS: 65,
  SPF: 99,
  EUI48: 108,
  EUI64: 109,
  TSIG: 250,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
  URI: 256,
  CAA: 257,
} as const;

export const CLASS = { IN: 1, CH: 3, HS: 4, NONE: 254, ANY: 255 } as const;

export const OPCODE = { QUERY: 0, IQUERY: 1, STATUS: 2, NOTIFY: 4, UPDATE: 5, DSO: 6 } as const;

/** Response codes with the extended ones of EDNS (RFC 6891): 12 bits. */
export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  YXDOMAIN: 6,
  YXRRSET: 7,
  NXRRSET: 8,
  NOTAUTH: 9,
  NOTZONE: 10,
  BADVERS: 16,
  BADKEY: 17,
  BADTIME: 18,
  BADMODE: 19,
  BADNAME: 20,
  BADALG: 21,
  BADTRUNC: 22,
  BADCOOKIE: 23,
} as const;

function invert(table: Readonly<Record<string, number>>): ReadonlyMap<number, string> {
  return new Map(Object.entries(table).map(([name, value]) => [value, name]));
}

const TYPE_NAMES = invert(TYPE);
const CLASS_NAMES = invert(CLASS);
const RCODE_NAMES = invert(RCODE);

/** `A`, `HTTPS`, or `TYPE65280` for types without a name here. */
export function formatType(type: number): string {
  return TYPE_NAMES.get(type) ?? `TYPE${type}`;
}

/** Reverse of {@link formatType}, any case. @returns `undefined` for an unknown name */
export function parseType(text: string): number | undefined {
  return parseCode(text, TYPE, /^TYPE(\d{1,5})$/, 65_535);
}

export function formatClass(value: number): string {
  return CLASS_NAMES.get(value) ?? `CLASS${value}`;
}

export function parseClass(text: string): number | undefined {
  return parseCode(text, CLASS, /^CLASS(\d{1,5})$/, 65_535);
}

export function formatRcode(rcode: number): string {
  return RCODE_NAMES.get(rcode) ?? `RCODE${rcode}`;
}

/** A name or a plain number, as Corefiles write both. */
export function parseRcode(text: string): number | undefined {
  return parseCode(text, RCODE, /^(?:RCODE)?(\d{1,4})$/, 4095);
}

function parseCode(
  text: string,
  table: Readonly<Record<string, number>>,
  numeric: RegExp,
  maximum: number,
): number | undefined {
  const upper = text.toUpperCase();
  if (Object.hasOwn(table, upper)) return table[upper];
  const match = numeric.exec(upper);
  if (match === null) return undefined;
  const value = Number(match[1]);
  return value <= maximum ? value : undefined;
}
