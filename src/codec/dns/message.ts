/**
 * Layer codec. DNS messages as values (RFC 1035, 3596, 2782, 3403, 8659, 6891). Names are texts of `name.ts`;
 * record types that nodeplane does not read are kept as octets (RFC 3597).
 */
import type { IpAddress } from "../../model/ip.ts";
import { TYPE } from "./constants.ts";

export interface Question {
  readonly name: string;
  readonly type: number;
  readonly class: number;
}

/** Data of a record; which kind belongs to which type says {@link dataKind}. Character strings are Latin-1: one character, one octet. */
export type RecordData =
  | { readonly kind: "address"; readonly address: IpAddress }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "preference"; readonly preference: number; readonly name: string }
  | { readonly kind: "names"; readonly first: string; readonly second: string }
  | {
      readonly kind: "soa";
      readonly primary: string;
      readonly mailbox: string;
      readonly serial: number;
      readonly refresh: number;
      readonly retry: number;
      readonly expire: number;
      readonly minimum: number;
    }
  | {
      readonly kind: "srv";
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
    }
  | { readonly kind: "texts"; readonly texts: readonly string[] }
  | {
      readonly kind: "naptr";
      readonly order: number;
      readonly preference: number;
      readonly flags: string;
      readonly services: string;
      readonly regexp: string;
      readonly replacement: string;
    }
  | { readonly kind: "caa"; readonly flags: number; readonly tag: string; readonly value: string }
  | { readonly kind: "opaque"; readonly bytes: Uint8Array };

export interface ResourceRecord {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  /** Seconds, 0 to 2^31-1; larger values on the wire are read as 0 (RFC 2181 section 8). */
  readonly ttl: number;
  readonly data: RecordData;
}

export interface EdnsOption {
  readonly code: number;
  readonly bytes: Uint8Array;
}

export interface Edns {
  /** Largest UDP payload that the sender takes, in octets, as it wrote it. */
  readonly udpBytes: number;
  readonly version: number;
  /** DNSSEC OK. */
  readonly dnssecOk: boolean;
  readonly options: readonly EdnsOption[];
}

export interface DnsMessage {
  readonly id: number;
  readonly isResponse: boolean;
  readonly opcode: number;
  readonly authoritative: boolean;
  readonly truncated: boolean;
  readonly recursionDesired: boolean;
  readonly recursionAvailable: boolean;
  readonly authenticData: boolean;
  readonly checkingDisabled: boolean;
  /** 12 bits; values above 15 need `edns`. */
  readonly rcode: number;
  readonly questions: readonly Question[];
  readonly answers: readonly ResourceRecord[];
  readonly authorities: readonly ResourceRecord[];
  /** Without the OPT record, which is `edns`. */
  readonly additionals: readonly ResourceRecord[];
  readonly edns?: Edns;
}

export type DataKind = RecordData["kind"];

const KINDS: ReadonlyMap<number, DataKind> = new Map<number, DataKind>([
  [TYPE.A, "address"],
  [TYPE.AAAA, "address"],
  [TYPE.NS, "name"],
  [TYPE.MD, "name"],
  [TYPE.MF, "name"],
  [TYPE.CNAME, "name"],
  [TYPE.MB, "name"],
  [TYPE.MG, "name"],
  [TYPE.MR, "name"],
  [TYPE.PTR, "name"],
  [TYPE.DNAME, "name"],
  [TYPE.SOA, "soa"],
  [TYPE.HINFO, "texts"],
  [TYPE.TXT, "texts"],
  [TYPE.SPF, "texts"],
  [TYPE.MINFO, "names"],
  [TYPE.RP, "names"],
  [TYPE.MX, "preference"],
  [TYPE.AFSDB, "preference"],
  [TYPE.RT, "preference"],
  [TYPE.KX, "preference"],
  [TYPE.SRV, "srv"],
  [TYPE.NAPTR, "naptr"],
  [TYPE.CAA, "caa"],
]);

/** Kind of data that a record of `type` has. */
export function dataKind(type: number): DataKind {
  return KINDS.get(type) ?? "opaque";
}

/** Types whose names may be compressed when written: those of RFC 1035 and no other (RFC 3597 section 4). */
export function mayCompress(type: number): boolean {
  return type <= TYPE.MX && type !== TYPE.NULL;
}
