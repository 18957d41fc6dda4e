/** Layer codec. Bodies of Node, ServiceCidr and Pod in nodestream.proto. Pure. */
import type { Cidr, IpAddress } from "../../model/ip.ts";
import type { Node, ObjectMeta, Pod, ServiceCidr } from "../../model/objects.ts";
import { readAddress, readRange } from "./address.ts";
import { POD_PHASES } from "./kinds.ts";
import type { WireReader } from "./wire.ts";

export function decodeNode(reader: WireReader, meta: ObjectMeta): Node {
  const internalIPs: IpAddress[] = [];
  const podCIDRs: Cidr[] = [];
  const taintKeys: string[] = [];
  let zone = "";
  while (reader.next()) {
    if (reader.field === 1) internalIPs.push(readAddress(reader));
    else if (reader.field === 2) podCIDRs.push(readRange(reader));
    else if (reader.field === 3) zone = reader.text();
    else if (reader.field === 4) taintKeys.push(reader.text());
    else reader.skip();
  }
  return { kind: "Node", meta, internalIPs, podCIDRs, ...(zone === "" ? {} : { zone }), taintKeys };
}

export function decodeServiceCidr(reader: WireReader, meta: ObjectMeta): ServiceCidr {
  const cidrs: Cidr[] = [];
  while (reader.next()) {
    if (reader.field === 1) cidrs.push(readRange(reader));
    else reader.skip();
  }
  return { kind: "ServiceCIDR", meta, cidrs };
}

export function decodePod(reader: WireReader, meta: ObjectMeta): Pod {
  const podIPs: IpAddress[] = [];
  let nodeName = "";
  let hostname = "";
  let subdomain = "";
  let phase = 0;
  let hostNetwork = false;
  while (reader.next()) {
    if (reader.field === 1) podIPs.push(readAddress(reader));
    else if (reader.field === 2) nodeName = reader.text();
    else if (reader.field === 3) hostname = reader.text();
    else if (reader.field === 4) subdomain = reader.text();
    else if (reader.field === 5) phase = reader.uint32();
    else if (reader.field === 6) hostNetwork = reader.bool();
    else reader.skip();
  }
  return {
    kind: "Pod",
    meta,
    podIPs,
    ...(nodeName === "" ? {} : { nodeName }),
    ...(hostname === "" ? {} : { hostname }),
    ...(subdomain === "" ? {} : { subdomain }),
    phase: POD_PHASES[phase] ?? "Unknown",
    hostNetwork,
  };
}
