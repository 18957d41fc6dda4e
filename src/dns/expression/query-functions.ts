/** Layer dns. What expressions may ask of a query: the functions that CoreDNS gives to `view` and `template`. */
import { formatClass, formatType } from "../../codec/dns/constants.ts";
import { cidrContains, parseCidr, parseIp } from "../../model/ip.ts";
import type { DnsQuery } from "../query.ts";
import type { Value } from "./values.ts";

const HEADER_BYTES = 12;

export const QUERY_FUNCTIONS: Readonly<Record<string, (query: DnsQuery, args: readonly Value[]) => Value>> = {
  name: (query) => query.lowerName,
  type: (query) => formatType(query.type),
  class: (query) => formatClass(query.class),
  client_ip: (query) => query.client.address,
  server_ip: (query) => query.client.localAddress,
  proto: (query) => (query.client.transport === "udp" ? "udp" : "tcp"),
  port: (query) => String(query.client.port),
  server_port: (query) => String(query.client.localPort),
  do: (query) => query.message.edns?.dnssecOk ?? false,
  bufsize: (query) => query.message.edns?.udpBytes ?? 512,
  opcode: (query) => query.message.opcode,
  id: (query) => query.message.id,
  size: (query) => query.requestBytes ?? HEADER_BYTES + query.name.length + 5,
  metadata: (query, [label]) => query.metadata?.get(String(label)) ?? "",
  incidr: (_query, [address, range]) => {
    const ip = parseIp(String(address));
    const cidr = parseCidr(String(range));
    return ip !== undefined && cidr !== undefined && cidrContains(cidr, ip);
  },
};
