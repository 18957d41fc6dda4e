/** Layer lab. The manifest through which a lab pod is registered: an ordinary Pod of the agent's manifest folder. Pure. */
import { stringify } from "yaml";
import { NodeplaneError } from "../model/errors.ts";
import type { Protocol } from "../model/objects.ts";

export interface PodPort {
  readonly port: number;
  readonly protocol: Protocol;
}

export type Readiness =
  | { readonly kind: "none" }
  | { readonly kind: "tcp"; readonly port: number }
  | { readonly kind: "http"; readonly port: number; readonly path: string }
  | { readonly kind: "exec"; readonly command: string };

export interface ManifestInput {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ports: readonly PodPort[];
  readonly command: readonly string[];
  readonly readiness: Readiness;
}

function wrong(flag: string, text: string, allowed: string): never {
  throw new NodeplaneError("CONFIG_INVALID", {
    object: flag,
    detail: `"${text}" is not allowed; use ${allowed}`,
  });
}

function port(text: string): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return value >= 1 && value <= 65_535 ? value : 0;
}

/** `8080/tcp,53/udp`; the protocol defaults to tcp. @throws {NodeplaneError} CONFIG_INVALID */
export function parsePorts(text: string): readonly PodPort[] {
  if (text === "") return [];
  return text.split(",").map((part) => {
    const [number = "", name = "tcp"] = part.trim().split("/");
    const protocol = ({ tcp: "TCP", udp: "UDP", sctp: "SCTP" } as const)[name.toLowerCase()];
    if (port(number) === 0 || protocol === undefined)
      wrong("--ports", part, "PORT/tcp, PORT/udp or PORT/sctp, separated by commas");
    return { port: port(number), protocol };
  });
}

/** `k=v,…`. @throws {NodeplaneError} CONFIG_INVALID */
export function parseLabels(text: string): Readonly<Record<string, string>> {
  const labels: Record<string, string> = {};
  for (const part of text === "" ? [] : text.split(",")) {
    const [key = "", value = "", ...rest] = part.trim().split("=");
    if (!/^([a-z0-9.-]{1,253}\/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$/.test(key) || rest.length > 0)
      wrong("--labels", part, "KEY=VALUE, separated by commas");
    labels[key] = value;
  }
  return labels;
}

/** `none`, `tcp:PORT`, `http:PORT/PATH` or `exec:COMMAND`. @throws {NodeplaneError} CONFIG_INVALID */
export function parseReadiness(text: string): Readiness {
  const [kind = "", rest = ""] = text.split(/:(.*)/s);
  const [number = "", path = ""] = rest.split(/(\/.*)/s);
  if (kind === "none" && rest === "") return { kind };
  if (kind === "tcp" && port(rest) > 0) return { kind, port: port(rest) };
  if (kind === "http" && port(number) > 0) return { kind, port: port(number), path: path || "/" };
  if (kind === "exec" && rest !== "") return { kind, command: rest };
  return wrong("--readiness", text, "none, tcp:PORT, http:PORT/PATH or exec:COMMAND");
}

/** What is probed when nothing was said: the first TCP port; the echo server answers on every port. */
export function defaultReadiness(ports: readonly PodPort[], command: readonly string[]): Readiness {
  const tcp = ports.find((entry) => entry.protocol === "TCP");
  if (tcp !== undefined) return { kind: "tcp", port: tcp.port };
  return command.length === 0 ? { kind: "tcp", port: 7 } : { kind: "none" };
}

function probe(readiness: Readiness): Record<string, unknown> | undefined {
  const timing = { periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 1, successThreshold: 1 };
  switch (readiness.kind) {
    case "none":
      return undefined;
    case "tcp":
      return { tcpSocket: { port: readiness.port }, ...timing };
    case "http":
      return { httpGet: { port: readiness.port, path: readiness.path }, ...timing };
    case "exec":
      return { exec: { command: ["sh", "-c", readiness.command] }, ...timing };
  }
}

/** YAML of the Pod; `ips` are its addresses, IPv4 first, `netns` is where its exec probes run. */
export function podManifest(pod: ManifestInput, ips: readonly string[], netns: string): string {
  const readinessProbe = probe(pod.readiness);
  const container = {
    name: "main",
    image: pod.command.length === 0 ? "nodeplane.dev/lab-echo" : "nodeplane.dev/lab-command",
    ...(pod.command.length === 0 ? {} : { command: pod.command }),
    ...(pod.ports.length === 0
      ? {}
      : { ports: pod.ports.map(({ port: containerPort, protocol }) => ({ containerPort, protocol })) }),
    ...(readinessProbe === undefined ? {} : { readinessProbe }),
  };
  return stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: pod.name,
      namespace: pod.namespace,
      labels: pod.labels,
      annotations: { "nodeplane.dev/pod-ip": ips.join(","), "nodeplane.dev/netns": netns },
    },
    spec: { containers: [container] },
  });
}
