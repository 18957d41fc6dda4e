/** Layer control-plane. Columns of Services (pkg/printers printService). */
import { AGE, NAME } from "../../registry/columns.ts";
import type { ApiObject } from "../../registry/json.ts";
import type { Column } from "../../registry/kind.ts";
import { asText } from "../common/json-access.ts";
import { isExternalName, isLoadBalancer, loadBalancerIngress, serviceSpec } from "./view.ts";

const NONE = "<none>";

function externalIp(service: ApiObject): string {
  const spec = serviceSpec(service);
  if (isExternalName(spec)) return spec.externalName ?? "";
  const given = spec.externalIPs ?? [];
  if (!isLoadBalancer(spec)) return given.length === 0 ? NONE : given.join(",");
  const entries = loadBalancerIngress(service).map(
    (entry) => asText(entry["ip"]) || asText(entry["hostname"]),
  );
  const all = [...entries.filter((entry) => entry !== ""), ...given];
  return all.length === 0 ? "<pending>" : all.join(",");
}

function ports(service: ApiObject): string {
  const texts = (serviceSpec(service).ports ?? []).map((port) => {
    const nodePort = port.nodePort ?? 0;
    return `${port.port ?? 0}${nodePort === 0 ? "" : `:${nodePort}`}/${port.protocol ?? ""}`;
  });
  return texts.length === 0 ? NONE : texts.join(",");
}

function selector(service: ApiObject): string {
  const pairs = Object.entries(serviceSpec(service).selector ?? {}).map(([key, value]) => `${key}=${value}`);
  return pairs.length === 0 ? NONE : pairs.toSorted().join(",");
}

const text = (name: string, description: string, cell: (service: ApiObject) => string): Column => {
  return { name, type: "string", description, cell };
};

export const SERVICE_COLUMNS: readonly Column[] = [
  NAME,
  text("Type", "How the Service is reached.", (service) => serviceSpec(service).type ?? ""),
  text(
    "Cluster-IP",
    "First virtual address.",
    (service) => serviceSpec(service).clusterIPs?.[0] ?? (serviceSpec(service).clusterIP || NONE),
  ),
  text("External-IP", "Addresses outside the cluster.", externalIp),
  text("Port(s)", "Ports, with their node ports.", ports),
  AGE,
  { ...text("Selector", "Labels of the Pods behind it.", selector), priority: 1 },
];
