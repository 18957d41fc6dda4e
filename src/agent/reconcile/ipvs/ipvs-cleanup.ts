/**
 * Layer agent. Removes what IPVS mode installed, and nothing else: virtual servers that its table names or whose address is on
 * its device, then the device and the table. After a change of mode those with established connections stay until these end,
 * with their addresses and a table that only names them. See docs/adr/0097.
 */
import type { NftDriver } from "../../../drivers/nftables/index.ts";
import { NodeplaneError } from "../../../model/errors.ts";
import { type IpFamily, ipFamily } from "../../../model/ip.ts";
import type { IpvsService } from "../../../model/ipvs.ts";
import type { NftOp } from "../../../model/nftables.ts";
import { IPVS_SETS, ipvsSetsOf } from "../../../plan/ipvs/names.ts";
import { frontendKey, ipvsFormsOf, setIndex } from "../../../plan/ipvs/unit-servers.ts";
import { ElementChanges } from "../../../plan/nftables/element-list.ts";
import { packIp } from "../../../plan/packed.ts";
import type { IpvsHost } from "../../host/host.ts";
import { recordedFrontends } from "./ipvs-table.ts";

export interface IpvsCleanup {
  /** False: there was nothing of ours. */
  readonly had: boolean;
  /** Virtual servers that stay for their connections. */
  readonly busy: number;
}

const FAMILIES = ["ip", "ip6"] as const;

const keyOf = ({ address, protocol, port }: IpvsService) => frontendKey(packIp(address), protocol, port);

/** @param keepBusy virtual servers with established connections stay @throws {NodeplaneError} NETLINK_FAILED */
export async function cleanupIpvs(host: IpvsHost, keepBusy: boolean): Promise<IpvsCleanup> {
  const { driver, dummy, tables } = host;
  const recorded = new Set<string>();
  let hasTable = false;
  for (const family of FAMILIES) {
    const state = tables[family]?.read();
    hasTable ||= state !== undefined;
    for (const key of recordedFrontends(state, family)) recorded.add(key);
  }
  const addresses = dummy.read();
  if (!hasTable && addresses === undefined) return { had: false, busy: 0 };
  const device = new Set(addresses);
  const ours = readServices(host).filter(
    (service) => device.has(service.address) || recorded.has(keyOf(service)),
  );
  const busy = keepBusy ? ours.filter((service) => hasConnections(host, service)) : [];
  const idle = ours.filter((service) => !busy.includes(service));
  const failures = await driver.commit(idle.map((service) => ({ op: "delete-service", service })));
  const failed = failures.find(({ code }) => code !== "ESRCH");
  if (failed !== undefined)
    throw new NodeplaneError("NETLINK_FAILED", {
      operation: "remove virtual servers",
      errno: failed.errno,
      detail: failed.code,
    });
  if (busy.length === 0) dummy.remove();
  else {
    const wanted = new Set(busy.map(({ address }) => address));
    const extra = [...device].filter((address) => !wanted.has(address));
    await dummy.commit(extra.map((address) => ({ op: "remove", address })));
  }
  for (const family of FAMILIES) {
    const table = tables[family];
    if (table !== undefined) leave(table, family, busy);
  }
  return { had: true, busy: busy.length };
}

/** A kernel without IPVS has no virtual server of ours. */
function readServices({ driver }: IpvsHost): readonly IpvsService[] {
  try {
    return driver.readServices();
  } catch (error) {
    if (error instanceof NodeplaneError && error.code === "IPVS_UNSUPPORTED") return [];
    throw error;
  }
}

function hasConnections({ driver }: IpvsHost, service: IpvsService): boolean {
  return driver.readDestinations(service).some(({ activeConnections }) => activeConnections > 0);
}

/** Removes the table; where virtual servers stay it is replaced by one without rules that names them. */
function leave(table: NftDriver, family: IpFamily, busy: readonly IpvsService[]): void {
  const own = busy.filter(({ address }) => ipFamily(address) === family);
  const ops: NftOp[] = table.read() === undefined ? [] : [{ op: "delete-table" }];
  if (own.length > 0) {
    const set = ipvsSetsOf(family).find(({ name }) => name === IPVS_SETS.kept);
    const elements = new ElementChanges(ipvsFormsOf(family));
    for (const service of own) elements.add(setIndex(IPVS_SETS.kept), keyOf(service), "");
    ops.push({ op: "add-table" }, ...(set === undefined ? [] : [{ op: "add-set", set } as const]));
    ops.push(...elements.ops());
  }
  if (ops.length === 0) return;
  const result = table.commit(ops);
  if (result.kind === "committed") return;
  const detail = result.failures[0]?.code ?? "?";
  throw new NodeplaneError("NETLINK_FAILED", { operation: `remove table ${family} nodeplane-ipvs`, detail });
}
