/** Layer agent. The status as text for people. Pure: the time comes in. */
import { formatKey } from "../../model/objects.ts";
import type { AgentStatus, WorkloadStatus } from "./agent-status.ts";

type Probe = WorkloadStatus["containers"][number]["probes"][number];

const MAX_LISTED = 50;
const MAX_BUSY = 10;
const FAMILY = { ip: "IPv4", ip6: "IPv6" } as const;

export function formatStatus(status: AgentStatus, nowMs: number): string {
  const sections = [
    head(status, nowMs),
    section("Refused objects", status.programmed.refused.map(refused)),
    section("Problems of the source", status.feed.problems),
    section("Most connections", connections(status)),
    section("Preconditions", preconditions(status)),
    section("Workloads", status.workloads.flatMap(workload)),
    section("Refused manifests", status.refusedManifests),
  ];
  return sections.filter((text) => text !== "").join("\n");
}

function head(status: AgentStatus, nowMs: number): string {
  const { programmed, feed, node } = status;
  const health = status.healthy ? "" : ", unhealthy: changes wait too long";
  const rows: (readonly [string, string])[] = [
    ["Node", [status.nodeName, ...node.addresses].join("  ")],
    [
      "Agent",
      `nodeplane ${status.version}, since ${status.startedAt} (${ago(nowMs - Date.parse(status.startedAt))})`,
    ],
    [
      "State",
      `${status.ready ? "ready: rules are in the kernel" : "not ready: rules are not in the kernel yet"}${health}`,
    ],
    ["Source", `${feed.source}, ${feedState(status)}`],
    ["Programmed", programmedText(status, nowMs)],
  ];
  for (const { family, units, elements, counters, iptables, ipvs } of programmed.families) {
    const written =
      iptables === undefined ? `${elements} elements` : `${elements} rules (iptables-${iptables.variant})`;
    const servers =
      ipvs === undefined
        ? ""
        : `, ${ipvs.virtualServers} virtual servers (${ipvs.scheduler}) with ${ipvs.destinations} destinations, ${ipvs.draining} draining`;
    const repairs = counters.repairs === 0 ? "" : `, ${counters.repairs} repairs`;
    rows.push([
      FAMILY[family],
      `${units} service ports, ${written}${servers}, ${counters.commits} commits${repairs}`,
    ]);
  }
  if (node.zone !== "") rows.push(["Zone", node.zone]);
  if (node.podCIDRs.length > 0) rows.push(["Pod range", node.podCIDRs.join(", ")]);
  if (programmed.lastError !== undefined) {
    const { atMs, message } = programmed.lastError;
    rows.push(["Last error", `${ago(nowMs - atMs)}: ${message}`]);
  }
  return rows.map(([name, value]) => `${`${name}:`.padEnd(13)}${value}\n`).join("");
}

function feedState({ feed }: AgentStatus): string {
  const age = feed.ageSeconds >= 1 ? `, data ${ago(feed.ageSeconds * 1000)} old` : "";
  return `${feed.connected ? "connected" : "disconnected"}${feed.synced ? "" : ", not synced yet"}${age}`;
}

function programmedText({ programmed }: AgentStatus, nowMs: number): string {
  if (!programmed.programmed) return "nothing yet";
  const {
    services,
    endpointSlices,
    endpoints,
    revision = "?",
    programmedAtMs,
    pendingForMs,
    origin,
    mode,
  } = programmed;
  const since =
    programmedAtMs === undefined
      ? ""
      : ` since ${new Date(programmedAtMs).toISOString()} (${ago(nowMs - programmedAtMs)})`;
  const waiting = pendingForMs === undefined ? "" : `; changes wait for ${ago(pendingForMs)}`;
  const from = origin === "persisted" ? ", from the state kept on disk" : "";
  return `${mode}, revision ${revision}${since}${from}: ${services} services, ${endpointSlices} slices, ${endpoints} endpoints${waiting}`;
}

function refused(problem: AgentStatus["programmed"]["refused"][number]): string {
  const field = problem.field === "" ? "" : ` ${problem.field}:`;
  return `${formatKey(problem.object)}  ${problem.reason}:${field} ${problem.message}`;
}

function preconditions(status: AgentStatus): readonly string[] {
  return status.preconditions
    .filter(({ state }) => state !== "ok")
    .map(({ name, state, detail }) => `${state.padEnd(8)} ${name}: ${detail}`);
}

function connections({ serviceConnections = [] }: AgentStatus): readonly string[] {
  return serviceConnections
    .toSorted((a, b) => b.connections - a.connections)
    .slice(0, MAX_BUSY)
    .map(
      ({ namespace, service, port, connections: n }) =>
        `${String(n).padStart(10)}  ${namespace}/${service}:${port}`,
    );
}

function workload(status: WorkloadStatus): readonly string[] {
  const { namespace, name, ready, addresses, restarts, containers } = status;
  const again = restarts === 0 ? "" : `, ${restarts} restarts`;
  const first = `${ready ? "ready    " : "not ready"} ${namespace}/${name}  ${addresses.join(", ") || "no address"}${again}`;
  const probes = containers.flatMap((container) =>
    container.probes.map((probe) => `          ${container.name} ${probe.type}: ${found(probe)}`),
  );
  return [first, ...probes];
}

/** The result with what the last probe said, which may be on its way to another result. */
function found({ result, lastSeen, inRow = 0, message }: Probe): string {
  return lastSeen === undefined || lastSeen === result
    ? `${result}, ${message}`
    : `${result} still, ${lastSeen} ${inRow} in a row: ${message}`;
}

function section(title: string, lines: readonly string[]): string {
  if (lines.length === 0) return "";
  const more =
    lines.length > MAX_LISTED ? [`… and ${lines.length - MAX_LISTED} more; -o json lists all`] : [];
  return `${title}:\n${[...lines.slice(0, MAX_LISTED), ...more].map((line) => `  ${line}\n`).join("")}`;
}

/** `45s`, `5m32s`, `3h20m`, `5d3h`. */
function ago(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${s % 60}s`;
  if (s < 86_400) return `${Math.floor(s / 3600)}h${Math.floor((s % 3600) / 60)}m`;
  return `${Math.floor(s / 86_400)}d${Math.floor((s % 86_400) / 3600)}h`;
}
