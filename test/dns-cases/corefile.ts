/** The Corefile, flags and upstream that a case's options ask for. Cases that agree in them share one resolver. */
import type { CaseOptions } from "./case-file.ts";

export const DEFAULT_ZONES = ["cluster.local", "in-addr.arpa", "ip6.arpa"];

/** What decides about the process; equal keys share it. */
export function setupKey(opts: CaseOptions): string {
  const { transport, edns, query, ...setup } = opts;
  void [transport, edns, query];
  return JSON.stringify(setup, Object.keys(setup).sort()) + JSON.stringify(setup.upstream ?? null);
}

/** @param upstreamPort port of the stub that plays `opts.upstream`, if there is one */
export function corefileFor(opts: CaseOptions, upstreamPort: number | undefined): string {
  const zones = opts.zones ?? DEFAULT_ZONES;
  const flag = (isOn: boolean | undefined, line: string): string[] => (isOn === true ? [line] : []);
  const value = (given: string | number | undefined, name: string): string[] =>
    given === undefined ? [] : [`${name} ${given}`];
  const lines = [
    ...value(opts.ttl, "ttl"),
    ...value(opts.pods, "pods"),
    ...(opts.namespaces === undefined ? [] : [`namespaces ${opts.namespaces.join(" ")}`]),
    ...value(opts.namespace_labels, "namespace_labels"),
    ...value(opts.labels, "labels"),
    ...flag(opts.noendpoints, "noendpoints"),
    ...flag(opts.ignore_empty_service, "ignore empty_service"),
    ...flag(opts.endpoint_pod_names, "endpoint_pod_names"),
    ...flag(opts.zonal, "zonal"),
    ...(opts.fallthrough === undefined ? [] : [`fallthrough ${opts.fallthrough.join(" ")}`.trim()]),
  ];
  return [
    ".:0 {",
    "  bind 127.0.0.1",
    ...(opts.plugins ?? []).map((line) => `  ${line}`),
    `  kubernetes ${zones.join(" ")} {`,
    ...lines.map((line) => `    ${line}`),
    "  }",
    ...(upstreamPort === undefined ? [] : [`  forward . 127.0.0.1:${upstreamPort}`]),
    "}",
    "",
  ].join("\n");
}

export function flagsFor(opts: CaseOptions): readonly string[] {
  return [
    ...(opts.localIPs ?? []).flatMap((address) => ["--local-address", address]),
    ...(opts.synced === false ? ["--hold-unsynced"] : []),
  ];
}
