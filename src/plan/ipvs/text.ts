/** Layer plan. The state of IPVS mode as input of `ip -batch`, `ipvsadm -R` and `nft -f`. Pure. */
import type { IpAddress, IpFamily } from "../../model/ip.ts";
import { ipFamily } from "../../model/ip.ts";
import { IPVS_FLAGS, type IpvsServer } from "../../model/ipvs.ts";
import { formatOps } from "../nftables/text.ts";
import { DUMMY_DEVICE, ipvsSetsOf, ipvsTableOf } from "./names.ts";
import type { IpvsState } from "./state.ts";

const PROTOCOL_OPTIONS: ReadonlyMap<number, string> = new Map([
  [6, "-t"],
  [17, "-u"],
  [132, "--sctp-service"],
]);

function endpoint(address: IpAddress, port: number): string {
  return ipFamily(address) === "ip6" ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Lines as `ipvsadm -S -n` writes them, and `ipvsadm -R` reads. */
export function formatServer({ service, destinations }: IpvsServer): readonly string[] {
  const name = `${PROTOCOL_OPTIONS.get(service.protocol) ?? "-t"} ${endpoint(service.address, service.port)}`;
  const persistent = (service.flags & IPVS_FLAGS.persistent) === 0 ? "" : ` -p ${service.timeoutSeconds}`;
  const byPort = (service.flags & IPVS_FLAGS.scheduler2) === 0 ? "" : ` -b ${service.scheduler}-port`;
  return [
    `-A ${name} -s ${service.scheduler}${persistent}${byPort}`,
    ...destinations.map(
      ({ address, port, weight }) => `-a ${name} -r ${endpoint(address, port)} -m -w ${weight}`,
    ),
  ];
}

/** What `nodeplane plan --mode ipvs` prints: one part a tool, each named by a comment. */
export function formatIpvsPlan(states: Readonly<Record<IpFamily, IpvsState>>): string {
  const lines = ["# ip -batch -", `link add ${DUMMY_DEVICE} type dummy`];
  for (const address of states.ip.addresses) lines.push(`address add ${address}/32 dev ${DUMMY_DEVICE}`);
  for (const address of states.ip6.addresses)
    lines.push(`address add ${address}/128 dev ${DUMMY_DEVICE} nodad`);
  lines.push("# ipvsadm -R");
  for (const family of ["ip", "ip6"] as const)
    for (const server of states[family].servers) for (const line of formatServer(server)) lines.push(line);
  lines.push("# nft -f -");
  for (const family of ["ip", "ip6"] as const)
    for (const line of formatOps(ipvsTableOf(family), states[family].nft, ipvsSetsOf(family)))
      lines.push(line);
  return `${lines.join("\n")}\n`;
}
