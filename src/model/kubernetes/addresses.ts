/**
 * Layer model. Reads addresses and ranges out of Kubernetes API JSON. Canonical text comes out, whatever form
 * came in; a bad entry is reported by its path and left out. Must not know any kind.
 */
import { type Cidr, type IpAddress, type IpFamily, ipFamily, parseCidr, parseIp } from "../ip.ts";
import { type Problems, readList, show } from "./fields.ts";

/** One address or a problem. Blanks around it are ignored. */
export function readIp(value: unknown, field: string, problems: Problems): IpAddress | undefined {
  const address = typeof value === "string" ? parseIp(value.trim()) : undefined;
  if (address === undefined)
    problems.add("InvalidAddress", field, `must be an IPv4 or IPv6 address, not ${show(value)}`);
  return address;
}

/** The good addresses of a list, each once, in order. */
export function readIps(
  value: unknown,
  field: string,
  problems: Problems,
  max: number,
): readonly IpAddress[] {
  const addresses: IpAddress[] = [];
  for (const [index, item] of readList(value, field, problems, max).entries()) {
    const address = readIp(item, `${field}[${index}]`, problems);
    if (address !== undefined && !addresses.includes(address)) addresses.push(address);
  }
  return addresses;
}

/** The good addresses of a list, at most one a family: further ones are problems. */
export function readIpPerFamily(value: unknown, field: string, problems: Problems): readonly IpAddress[] {
  const seen = new Set<IpFamily>();
  const addresses: IpAddress[] = [];
  for (const [index, item] of readList(value, field, problems, 16).entries()) {
    const address = readIp(item, `${field}[${index}]`, problems);
    if (address === undefined) continue;
    if (seen.has(ipFamily(address)))
      problems.add(
        "DuplicateFamily",
        `${field}[${index}]`,
        `must be the only address of its family: ${address}`,
      );
    else {
      seen.add(ipFamily(address));
      addresses.push(address);
    }
  }
  return addresses;
}

/** The good ranges of a list, in order. Blanks around a range are ignored, as the API's validation lets them pass. */
export function readCidrs(value: unknown, field: string, problems: Problems, max: number): readonly Cidr[] {
  const ranges: Cidr[] = [];
  for (const [index, item] of readList(value, field, problems, max).entries()) {
    const range = typeof item === "string" ? parseCidr(item) : undefined;
    if (range === undefined)
      problems.add("InvalidRange", `${field}[${index}]`, `must be ADDRESS/PREFIX, not ${show(item)}`);
    else ranges.push(range);
  }
  return ranges;
}
