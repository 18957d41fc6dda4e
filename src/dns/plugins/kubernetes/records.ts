/**
 * Layer dns. Records of services and endpoints. Addresses are listed once, SRV once per target and port; weights share 100
 * among the entries before that (CoreDNS, facts section 2).
 */
import { TYPE } from "../../../codec/dns/constants.ts";
import type { ResourceRecord } from "../../../codec/dns/message.ts";
import type { IpAddress } from "../../../model/ip.ts";
import { record } from "../../query.ts";

/** Address records of the type asked for, each address once. */
export function addressRecords(
  owner: string,
  type: number,
  ttl: number,
  addresses: Iterable<IpAddress>,
): ResourceRecord[] {
  if (type !== TYPE.A && type !== TYPE.AAAA) return [];
  const wantsV6 = type === TYPE.AAAA;
  const records: ResourceRecord[] = [];
  const seen = new Set<IpAddress>();
  for (const address of addresses) {
    if (address.includes(":") !== wantsV6 || seen.has(address)) continue;
    seen.add(address);
    records.push(record(owner, type, ttl, { kind: "address", address }));
  }
  return records;
}

/** One port of one address at a target name. */
export interface SrvEntry {
  readonly target: string;
  readonly port: number;
  readonly address: IpAddress;
}

/** SRV records and the addresses of their targets. */
export function srvRecords(
  owner: string,
  ttl: number,
  entries: readonly SrvEntry[],
): { readonly answers: readonly ResourceRecord[]; readonly additionals: readonly ResourceRecord[] } {
  const weight = Math.max(1, Math.floor(100 / entries.length));
  const answers = new Map<string, ResourceRecord>();
  const additionals = new Map<string, ResourceRecord>();
  for (const { target, port, address } of entries) {
    const srvKey = `${target} ${port}`;
    if (!answers.has(srvKey)) {
      answers.set(srvKey, record(owner, TYPE.SRV, ttl, { kind: "srv", priority: 0, weight, port, target }));
    }
    const addressKey = `${target} ${address}`;
    if (!additionals.has(addressKey)) {
      const type = address.includes(":") ? TYPE.AAAA : TYPE.A;
      additionals.set(addressKey, record(target, type, ttl, { kind: "address", address }));
    }
  }
  return { answers: [...answers.values()], additionals: [...additionals.values()] };
}
