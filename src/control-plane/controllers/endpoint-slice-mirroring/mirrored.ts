/** Layer control-plane. The endpoints of slices that mirror an Endpoints object. Pure. */
import { type IpAddress, ipFamily, parseIp } from "../../../model/ip.ts";
import { asNumber, asText, objectsIn } from "../../kinds/common/json-access.ts";
import type { ApiObject, JsonObject } from "../../registry/json.ts";
import { isJsonObject } from "../../registry/json.ts";
import {
  type EndpointGroup,
  groupKey,
  type SliceEndpoint,
  type SlicePort,
} from "../endpoint-slices/desired.ts";

/** Addresses of one subset that are mirrored; more are left out. */
export const MAX_ADDRESSES_PER_SUBSET = 1_000;

type Group = EndpointGroup & { readonly endpoints: Map<IpAddress, SliceEndpoint> };

/** Groups by family and ports; ready addresses come first where the limit cuts. */
export function mirroredGroups(
  endpoints: ApiObject,
  weights: ReadonlyMap<IpAddress, number>,
): ReadonlyMap<string, EndpointGroup> {
  const groups = new Map<string, Group>();
  for (const subset of objectsIn(endpoints["subsets"])) {
    const ports = objectsIn(subset["ports"]).map(toPort);
    const addresses = [
      ...objectsIn(subset["addresses"]).map((address) => ({ address, ready: true })),
      ...objectsIn(subset["notReadyAddresses"]).map((address) => ({ address, ready: false })),
    ];
    for (const { address, ready } of addresses.slice(0, MAX_ADDRESSES_PER_SUBSET)) {
      const ip = parseIp(asText(address["ip"]));
      if (ip === undefined) continue;
      const addressType = ipFamily(ip) === "ip" ? "IPv4" : "IPv6";
      const key = groupKey(addressType, ports);
      let group = groups.get(key);
      if (group === undefined) {
        group = { addressType, ports, endpoints: new Map(), weights };
        groups.set(key, group);
      }
      if (!group.endpoints.has(ip)) group.endpoints.set(ip, toEndpoint(ip, address, ready));
    }
  }
  return groups;
}

function toPort(port: JsonObject): SlicePort {
  const appProtocol = asText(port["appProtocol"]);
  return {
    name: asText(port["name"]),
    protocol: asText(port["protocol"]) || "TCP",
    port: asNumber(port["port"]),
    ...(appProtocol === "" ? {} : { appProtocol }),
  };
}

/** Nothing is known of a hand-made endpoint but whether it is ready. */
function toEndpoint(ip: IpAddress, address: JsonObject, ready: boolean): SliceEndpoint {
  const hostname = asText(address["hostname"]);
  const nodeName = asText(address["nodeName"]);
  const { targetRef } = address;
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname === "" ? {} : { hostname }),
    ...(isJsonObject(targetRef) ? { targetRef } : {}),
    ...(nodeName === "" ? {} : { nodeName }),
  };
}
